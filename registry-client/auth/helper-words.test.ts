import assert from 'node:assert/strict'
import { helperWords } from './helper-words.ts'

function stderrWords(stderr: string, env: Record<string, string> = {}, stdout = ''): string {
  return helperWords({ status: 1, stdout, stderr }, env)
}

describe('helperWords', () => {
  it('shows the reason and the words for people, once when they are the same', () => {
    const result = { status: 1, stdout: 'no card\n', stderr: 'gpg: \u001b[31mlost\u001b[0m\n' }
    assert.equal(helperWords(result, {}), ': no card; gpg: lost')
    assert.equal(helperWords({ ...result, stderr: 'no card' }, {}), ': no card')
    assert.equal(helperWords({ status: 1, stdout: ' \n', stderr: '' }, {}), '')
  })

  it('shows the end of a long text', () => {
    const words = stderrWords(`Traceback ${'at a line '.repeat(500)}\nValueError: no account`)
    assert.match(words, /^: … .*ValueError: no account$/)
    assert.ok(words.length < 450)
  })

  it('shows no login that a helper traces', () => {
    const traces = [
      `+ echo '{"ServerURL":"h","Username":"u","Secret":"hunter two"}'`,
      String.raw`send "{\"Secret\":\"hunter two\",\"x\":1}"`,
      `{'password': 'hunter two'`,
      `{"access_token": "hunter`,
      'POST /?x&token=hunter2&y',
      `passphrase 'hunter'`,
      '+ curl --password hunter2 https://u:hunter2@h/',
      'Authorization: Basic aHVudGVyMjpodW50ZXIy, aHVudGVy'.slice(0, 44),
      'got eyJodW50ZXIy.eyJodW50ZXIy.aHVudGVy',
    ]
    for (const trace of traces) {
      const words = stderrWords(trace)
      assert.match(words, /\*\*\*/, trace)
      assert.doesNotMatch(words, /hunter|aHVudGVy|odW50ZXI|two/, trace)
    }
  })

  it('keeps sentences about logins', () => {
    for (const text of [
      'error getting token: connection refused',
      'the password is expired',
      'secret service: no such interface',
    ])
      assert.equal(stderrWords(text), `: ${text}`)
  })

  it('shows no part of a reply, or of what may be one', () => {
    const reply = '{"Username":"u","Secret":"ab cdefghij"}'
    assert.equal(stderrWords('got cdefghij', {}, reply), ': got ***')
    const plain = { status: 0, stdout: 'abcdefgh\n', stderr: 'printed abcdefgh' }
    assert.equal(helperWords(plain, {}), ': printed ***')
  })

  it('shows no value of a secret variable, but where a file is', () => {
    const env = {
      CI_JOB_TOKEN: 'glcbt-1234',
      AWS_SECRET_ACCESS_KEY: 'ab/cd+ef',
      KEYBOARD: 'qwertz',
      GOOGLE_APPLICATION_CREDENTIALS: '/home/u/key.json',
    }
    assert.equal(
      stderrWords('no glcbt-1234, ab/cd+ef, qwertz, /home/u/key.json', env),
      ': no ***, ***, qwertz, /home/u/key.json',
    )
  })
})
