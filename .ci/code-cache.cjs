// `node code-cache.cjs BUNDLE ARGS...`: runs a bundle as builder/program.ts does and writes what V8 compiled meanwhile.
const { readFileSync, writeFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname } = require('node:path')
const { Script } = require('node:vm')

const file = process.argv[2]
process.argv.splice(1, 2, file)
const script = new Script(
  `(function (exports, require, module, __filename, __dirname) {${readFileSync(file, 'latin1')}\n})`,
  { filename: file },
)
process.on('exit', () => writeFileSync(`${file}.cache`, script.createCachedData()))
const holder = { exports: {} }
script.runInThisContext()(holder.exports, createRequire(file), holder, file, dirname(file))
