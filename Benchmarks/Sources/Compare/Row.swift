/// A program that measures one case and prints nanoseconds for one operation.
struct Measured {
  /// A file's name in the peers' folder; nil for our own workloads.
  var program: String?
  var workload: String
  /// Operations of one sample: enough for some tens of milliseconds.
  var operations: Int
  /// A library that is loaded before the program's own: another allocator.
  var preloaded: String?
  /// Built with the workloads, not a peer.
  var isBuiltHere = false

  static func ours(_ workload: String, _ operations: Int) -> Measured {
    Measured(program: nil, workload: workload, operations: operations)
  }

  static func peer(
    _ program: String, _ workload: String, _ operations: Int, preloaded: String? = nil
  ) -> Measured {
    Measured(
      program: program, workload: workload, operations: operations, preloaded: preloaded)
  }
}

/// What a row is held against.
enum Goal {
  /// Ours divided by the peer's.
  case ratio(Double)
  /// Nanoseconds of ours alone; the peer stands beside it.
  case nanoseconds(Double)
  /// Nanoseconds of ours above the peer's.
  case added(Double)
  /// Instructions of one of our operations, which are counted; nothing is timed.
  case instructions(Double)
  /// Nothing: the row stands beside another.
  case none
}

/// One comparison.
struct Row {
  /// As in the project's list of goals; several rows may share one.
  let number: Int
  let what: String
  let ours: Measured
  let peer: Measured
  let peerName: String
  let goal: Goal
}

private func pool(
  _ number: Int, _ what: String, _ workload: String, _ operations: Int, _ goal: Double
) -> Row {
  Row(
    number: number, what: what, ours: .ours("pool-" + workload, operations),
    peer: .peer("linux-pool", workload, operations), peerName: "Linux dmapool",
    goal: .ratio(goal))
}

private func addresses(
  _ number: Int, _ what: String, _ workload: String, _ operations: Int, _ goal: Double,
  peerName: String
) -> Row {
  Row(
    number: number, what: what, ours: .ours("iova-" + workload, operations),
    peer: .peer("linux-iova", workload, operations), peerName: peerName, goal: .ratio(goal))
}

private func counted(
  _ what: String, _ ours: String, _ program: String, _ peer: String, _ peerName: String,
  _ limit: Double
) -> Row {
  Row(
    number: 24, what: "instructions: \(what)", ours: .ours(ours, 0),
    peer: .peer(program, peer, 0), peerName: peerName, goal: .instructions(limit))
}

private func trace(_ number: Int, _ what: String, _ ours: String, _ peer: String, _ goal: Double)
  -> Row
{
  Row(
    number: number, what: what, ours: .peer("trace-sample", ours, 3),
    peer: .peer("trace-sample", peer, 3), peerName: peer == "limit-inside" ? "C limit" : peer,
    goal: .ratio(goal))
}

private func iommu(_ what: String, _ workload: String, _ twin: String, _ name: String, _ goal: Goal)
  -> Row
{
  let isPage = twin.hasSuffix("-1")
  let operations = isPage ? 3_000_000 : 300_000
  return Row(
    number: isPage ? 16 : 17, what: what, ours: .ours(workload, operations),
    peer: .peer("twins", twin, operations), peerName: name, goal: goal)
}

private func checkedPool(_ what: String, _ workload: String, _ goal: Double) -> Row {
  var ours = Measured.peer("CheckedPool", workload, 2_000_000)
  ours.isBuiltHere = true
  return Row(
    number: 6, what: what, ours: ours, peer: .ours("pool-" + workload, 2_000_000),
    peerName: "ours, unchecked", goal: .ratio(goal))
}

private func bounce(_ what: String, _ byteCount: Int, _ goal: Double) -> Row {
  let operations = 1_000_000_000 / (byteCount + 4096) / 8
  return Row(
    number: 20, what: "bounce map + unmap, to the device, \(what)",
    ours: .ours("bounce-\(byteCount)", operations),
    peer: .peer("memory", "memcpy-\(byteCount)", operations), peerName: "memcpy",
    goal: .ratio(goal))
}

private let pingPong = Measured.ours("pool-ping-pong-64", 4_000_000)

let rows: [Row] = [
  pool(1, "pool, one block of 64 B", "ping-pong-64", 4_000_000, 0.95),
  pool(2, "pool, 8192 blocks of 16 B", "deep-16", 2_000_000, 0.8),
  pool(2, "pool, 8192 blocks of 64 B", "deep-64", 2_000_000, 0.8),
  pool(2, "pool, 8192 blocks of 256 B", "deep-256", 2_000_000, 0.8),
  pool(3, "pool, 8192 blocks of 1 KiB", "deep-1024", 1_000_000, 0.5),
  pool(3, "pool, 8192 blocks of 4 KiB", "deep-4096", 1_000_000, 0.5),
  pool(3, "the same, 64 bytes of each written, 1 KiB", "touched-1024", 1_000_000, 0.8),
  pool(3, "the same, 64 bytes of each written, 4 KiB", "touched-4096", 1_000_000, 0.8),
  pool(4, "pool, 8192 blocks of 68 B, aligned to 32", "deep-68", 2_000_000, 0.9),
  pool(5, "pool, 8192 blocks of 4 KiB, freed in random order", "random-4096", 1_000_000, 0.3),
  pool(
    5, "the same, 64 bytes of each written", "touched-random-4096", 1_000_000, 0.8),
  checkedPool("pool through the checked C interface, one block", "ping-pong-64", 2),
  checkedPool("pool through the checked C interface, 8192 blocks", "deep-64", 2),
  pool(7, "pool, two threads, each", "two-threads-64", 2_000_000, 0.2),
  Row(
    number: 8, what: "pool, 32 blocks at once, each", ours: .ours("pool-bulk-32", 20_000_000),
    peer: .peer("dpdk-mempool", "bulk-32", 20_000_000), peerName: "DPDK mempool",
    goal: .ratio(2.5)),
  Row(
    number: 9, what: "one block, a thread's own", ours: pingPong,
    peer: .peer("dpdk-mempool", "keep-128", 4_000_000), peerName: "DPDK mempool",
    goal: .ratio(0.8)),
  Row(
    number: 10, what: "one block", ours: pingPong,
    peer: .peer("memory", "malloc-64", 4_000_000), peerName: "glibc malloc", goal: .ratio(0.8)),
  Row(
    number: 10, what: "one block", ours: pingPong,
    peer: .peer("memory", "malloc-64", 4_000_000, preloaded: "libjemalloc.so.2"),
    peerName: "jemalloc", goal: .ratio(0.8)),
  Row(
    number: 10, what: "one block", ours: pingPong,
    peer: .peer("memory", "malloc-64", 4_000_000, preloaded: "libmimalloc.so.2.0"),
    peerName: "mimalloc", goal: .ratio(0.8)),
  Row(
    number: 10, what: "one block", ours: pingPong,
    peer: .peer("dpdk-mempool", "rte-malloc-64", 500_000), peerName: "rte_malloc",
    goal: .ratio(0.08)),
  addresses(
    11, "bus addresses, one page", "ping-pong-1", 4_000_000, 0.7, peerName: "Linux IOVA"),
  addresses(
    12, "bus addresses, 64 K live, mixed sizes, one replaced", "replace-mixed", 2_000_000, 0.8,
    peerName: "Linux IOVA"),
  addresses(
    13, "bus addresses, 64 pages", "ping-pong-64", 1_000_000, 0.8, peerName: "Linux IOVA tree"),
  addresses(
    13, "bus addresses, the first 64 K of a domain", "first-fill", 300_000, 0.5,
    peerName: "Linux IOVA tree"),
  addresses(
    14, "bus addresses without caches, 64 K, random", "tree-random", 1_300_000, 0.4,
    peerName: "Linux IOVA tree"),
  addresses(
    15, "bus addresses, two threads, each", "two-threads-1", 2_000_000, 0.8,
    peerName: "Linux IOVA"),
  Row(
    number: 15, what: "bus addresses, two threads against one",
    ours: .ours("iova-two-threads-1", 2_000_000), peer: .ours("iova-ping-pong-1", 4_000_000),
    peerName: "ours, one thread", goal: .ratio(1 / 0.95)),
  iommu("IOMMU map + unmap, one page", "iommu-strict-1", "iommu-1", "C twin", .ratio(1.1)),
  iommu(
    "IOMMU map + unmap, one page", "iommu-strict-1", "iommu-unchecked-1", "C twin, unchecked",
    .none),
  iommu(
    "IOMMU map + unmap, 256 pages", "iommu-strict-256", "iommu-256", "C twin", .ratio(1)),
  iommu(
    "IOMMU map + unmap, 256 pages", "iommu-strict-256", "iommu-unchecked-256",
    "C twin, unchecked", .none),
  Row(
    number: 19, what: "direct map + unmap", ours: .ours("direct-1500", 20_000_000),
    peer: .peer("twins", "direct", 20_000_000), peerName: "C floor", goal: .nanoseconds(2)),
  Row(
    number: 18, what: "IOMMU map + unmap, one page, invalidated in batches",
    ours: .ours("iommu-deferred-1", 3_000_000), peer: .ours("iommu-strict-1", 3_000_000),
    peerName: "ours, no hardware", goal: .ratio(1.2)),
  Row(
    number: 21, what: "map + unmap with 64 K live, checked",
    ours: .ours("checker-on-64k", 2_000_000), peer: .ours("checker-off-64k", 2_000_000),
    peerName: "ours, unchecked", goal: .added(60)),
  Row(
    number: 21, what: "the same, unmapped in any order",
    ours: .ours("checker-on-64k-any-order", 2_000_000),
    peer: .ours("checker-off-64k-any-order", 2_000_000),
    peerName: "ours, unchecked", goal: .none),
  bounce("512 B", 512, 1.8),
  bounce("4 KiB", 4096, 1.15),
  bounce("64 KiB", 65536, 1.03),
  trace(22, "leaks in a trace, ns for one event", "dmatool-inside", "limit-inside", 1 / 0.85),
  trace(23, "leaks in a trace, whole process, one event", "dmatool", "mawk", 1.0 / 5),
  trace(23, "leaks in a trace, whole process, one event", "dmatool", "gawk", 1.0 / 15),
  trace(23, "leaks in a trace, whole process, one event", "dmatool", "python", 1.0 / 15),
  counted(
    "pool, one block", "pool-ping-pong-64", "linux-pool", "ping-pong-64", "Linux dmapool", 45),
  counted("pool, 8192 blocks", "pool-deep-64", "linux-pool", "deep-64", "Linux dmapool", 50),
  counted(
    "bus addresses, one page", "iova-ping-pong-1", "linux-iova", "ping-pong-1", "Linux IOVA", 60),
  counted(
    "bus addresses, mixed", "iova-replace-mixed", "linux-iova", "replace-mixed", "Linux IOVA", 80),
]
