/**
 * An app with a node inside: an HTTP server that answers while the mesh works for it.
 *
 * Not here: any state. Whatever was accepted outlives this process: GET /jobs/ID gives its results from any other node.
 *   POST /primes {"below": 100000}   starts a job, answers with its id at once
 *   GET /jobs/ID                     a line of JSON for each part, as they come
 *   GET /health                      who is in the mesh
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { createKey, createNode, readKey, ShoalError } from '../../src/index.ts'

const partSize = 10_000

/** Runs on whichever node has room, and never on the thread that answers requests. */
function countPrimes({ from, to }: { from: number; to: number }): {
  from: number
  to: number
  primes: number
} {
  let primes = 0
  for (let n = Math.max(2, from); n < to; n++) {
    let isPrime = true
    for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0
    if (isPrime) primes++
  }
  return { from, to, primes }
}

const keyFile = process.env.SHOAL_KEY
await using node = await createNode({
  key: keyFile === undefined ? createKey() : await readKey(keyFile),
  listen: ['/ip4/127.0.0.1/tcp/0'],
  peers: process.env.SHOAL_PEERS?.split(',') ?? [],
  mdns: false
})
const mesh = node.client

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  if (request.method === 'POST' && pathname === '/primes') {
    const { below } = (await json(request)) as { below: number }
    const starts = Array.from({ length: Math.ceil(below / partSize) }, (_, i) => i * partSize)
    const job = mesh.map(
      countPrimes,
      starts.map((from) => ({ from, to: Math.min(from + partSize, below) }))
    )
    // Once it is accepted, the job needs this process no more, and whoever reads it hears of its failures.
    job.catch(() => {})
    await job.accepted
    response.writeHead(202).end(JSON.stringify({ id: job.id }))
  } else if (request.method === 'GET' && pathname.startsWith('/jobs/')) {
    for await (const part of mesh.job(pathname.slice('/jobs/'.length)))
      if (!response.write(`${JSON.stringify(part)}\n`)) await once(response, 'drain')
    response.end()
  } else if (pathname === '/health') {
    response.end(JSON.stringify((await mesh.members()).map(({ id, slots }) => ({ id, slots }))))
  } else response.writeHead(404).end()
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    const isUnknown = error instanceof ShoalError && error.code === 'SHOAL_NOT_FOUND'
    if (response.headersSent) response.destroy()
    else response.writeHead(isUnknown ? 404 : 500).end(String(error))
  })
})
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1')
await once(server, 'listening')
console.log(JSON.stringify(server.address()))
await once(process, 'SIGTERM')
server.close()
server.closeAllConnections()
