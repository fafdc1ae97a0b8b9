import { startProgram } from '../program.ts'

await startProgram('worker', () => import('./worker.ts'))
