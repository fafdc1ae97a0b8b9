import assert from 'node:assert/strict'
import fc from 'fast-check'
import { RegistryError } from '../errors.ts'
import { parseToml } from './toml.ts'

/** Tables have no prototype; for comparing they get one. */
function plain(text: string): unknown {
  return JSON.parse(JSON.stringify(parseToml(text, 'f.conf')))
}

describe('parseToml', () => {
  it('reads what registries.conf is written in', () => {
    const text = `# comment
unqualified-search-registries = ["docker.io", 'quay.io', ] # more
short-name-mode = "enforcing"

[[registry]]
prefix = "a.example/\\"x\\""
insecure = true
[[registry.mirror]]
location = "m1"
[[registry.mirror]]
location = "m2"

[[registry]]
location = "b"
mirror = [
  { location = "m3", insecure = false }, # inline
]

[aliases]
"alpine" = "docker.io/library/alpine"
[a.b]
count = 5
`
    assert.deepEqual(plain(text), {
      'unqualified-search-registries': ['docker.io', 'quay.io'],
      'short-name-mode': 'enforcing',
      registry: [
        {
          prefix: 'a.example/"x"',
          insecure: true,
          mirror: [{ location: 'm1' }, { location: 'm2' }],
        },
        { location: 'b', mirror: [{ location: 'm3', insecure: false }] },
      ],
      aliases: { alpine: 'docker.io/library/alpine' },
      a: { b: { count: 5 } },
    })
  })

  const refused: readonly (readonly [text: string, message: RegExp])[] = [
    ['a = 1\nb = nonsense', /f\.conf:2: expected a string/],
    ['a = "unterminated', /expected a string/],
    ['a = 1 b = 2', /more on the line/],
    ['[a', /expected \]/],
    ['a = 1\na = 2', /a is set twice/],
    ['a = 1\n[a]\nb = 2', /a is not a table/],
    ['= 1', /expected a key/],
    ['a = "\\q"', /escape/],
    ['a = [1 2]', /expected , or \]/],
  ]
  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text)} with its line`, () => {
      assert.throws(() => parseToml(text, 'f.conf'), message)
    })
  }

  it('keeps __proto__ a key like any other', () => {
    const table = parseToml('[__proto__]\npolluted = true', 'f.conf')
    assert.equal(Reflect.get({}, 'polluted'), undefined)
    assert.deepEqual(Object.keys(table), ['__proto__'])
  })

  it('throws nothing but bad-configuration, whatever the text', () => {
    const unit = fc.constantFrom(...'ab=[]{}",.#\\\n \'1'.split(''))
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 60 }), (text) => {
        try {
          parseToml(text, 'f.conf')
        } catch (error) {
          assert.ok(error instanceof RegistryError && error.code === 'bad-configuration')
        }
      }),
      { numRuns: 2000 },
    )
  })
})
