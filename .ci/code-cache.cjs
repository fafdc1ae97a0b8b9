// `node code-cache.cjs BUNDLE CODE ARGS...`: runs a bundle as builder/program.ts does and writes what V8 compiled meanwhile to CODE.
// REGISTRY in an argument stands for one that takes every push.
const { readFileSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:http')
const { createRequire } = require('node:module')
const { dirname } = require('node:path')
const v8 = require('node:v8')
const { Script } = require('node:vm')

const [, , file, code, ...args] = process.argv
const script = new Script(
  `(function (exports, require, module, __filename, __dirname) {${readFileSync(file, 'latin1')}\n})`,
  { filename: file },
)
process.on('exit', () => writeFileSync(code, script.createCachedData()))
// What the program sets would be taken for a condition of the code.
v8.setFlagsFromString = () => undefined

const STATUS = { HEAD: 404, POST: 202, PUT: 201, DELETE: 204 }
const registry = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(STATUS[request.method], { location: '/v2/upload' }).end()
  })
})
registry.listen(0, '127.0.0.1', () => {
  registry.unref()
  const name = `127.0.0.1:${registry.address().port}`
  process.argv = [process.argv[0], file, ...args.map((arg) => arg.replace('REGISTRY', name))]
  const holder = { exports: {} }
  script.runInThisContext()(holder.exports, createRequire(file), holder, file, dirname(file))
})
