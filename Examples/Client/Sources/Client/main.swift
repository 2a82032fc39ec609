import DMA
import DMAMapping
import Synchronization
#if canImport(Glibc)
import Glibc
#endif
final class Own {}
nonisolated(unsafe) let mem = UnsafeMutableRawPointer.allocate(byteCount: 1<<22, alignment: 1<<21)
nonisolated(unsafe) var next = 0
let ops = PlatformOperations(
 allocatePages: { _, n, a, l, o, num in let p = (next + a - 1) & ~(a-1); next = p + n; num[0] = UInt64(UInt(bitPattern: mem + p)); num[1] = UInt64(0x200000 + p); return 0 },
 freePages: {_,_,_,_,_ in}, resolve: {_,_,_,_ in 8}, maintainCache: {_,_,_,_ in}, now: {_ in 0}, relax: {_ in})
let platform = Platform(operations: ops, context: mem, owner: Own(), lowestLimit: 0xffffff, highestAddress: 0xffffffff, isCoherent: true)
let dev = DMADevice(name: "x", platform: platform, mapping: DirectMapping.make(for: platform))
func now() -> Double { var t = timespec(); clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return Double(t.tv_sec)*1e9+Double(t.tv_nsec) }
func go() throws(DMAError) {
let b = try StreamingBuffer(byteCount: 1500, in: platform)
let b2 = directMapUnmap(b, dev)
_ = b2.byteCount
for _ in 0..<5 {
let c = try StreamingBuffer(byteCount: 1500, in: platform)
let t0 = now()
let s = directMapUnmapLoop(c, dev, count: 50_000_000)
print((now()-t0)/50e6, s)
}
}
if CommandLine.arguments.count > 1 { if CommandLine.arguments[1] == "loops" { print("direct") } else { let c = try StreamingBuffer(byteCount: 1500, in: platform); print(directMapUnmapLoop(c, dev, count: Int(CommandLine.arguments[3])!)) } } else { try go() }
