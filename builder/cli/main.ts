#!/usr/bin/env node
import { startProgram } from '../program.ts'

await startProgram('cli', () => import('./cli.ts'))
