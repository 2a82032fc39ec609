import CTiming

#if canImport(Glibc)
  import Glibc
#endif

// Workloads list               the names of the workloads
// Workloads CASE OPERATIONS    runs the case to warm up, then at least that many operations, and
//                              prints CPU nanoseconds for one (the form of all peers, Peers/peer.h)

/// What is measured: pairs of calls, made many times.
struct Workload {
  let name: String
  /// Operations of the smallest run; counts are rounded up to a multiple.
  var unit = 1
  /// Prepares, and returns what runs `count` operations.
  let prepare: () throws -> (_ count: Int) -> Void
}

/// The same on two threads at once, each with a core of its own.
struct ThreadedWorkload {
  let name: String
  let prepare: () throws -> (_ thread: Int, _ count: Int) -> Void
}

func fail(_ message: String, status: Int32 = 1) -> Never {
  let text = Array("Workloads: \(message)\n".utf8)
  _ = write(2, text, text.count)
  exit(status)
}

func report(_ nanoseconds: Double) {
  let tenThousandths = Int((nanoseconds * 10000).rounded())
  let digits = String(tenThousandths % 10000)
  print("\(tenThousandths / 10000).\(String(repeating: "0", count: 4 - digits.count))\(digits)")
}

func measure(_ workload: Workload, _ operations: Int) throws {
  let operations = (operations + workload.unit - 1) / workload.unit * workload.unit
  let run = try workload.prepare()
  run(workload.unit)
  let begun = timing_now()
  run(operations)
  report((timing_now() - begun) / Double(operations))
}

/// What a thread is given; a C function cannot capture.
final class Body {
  let run: (_ thread: Int, _ count: Int) -> Void
  init(_ run: @escaping (_ thread: Int, _ count: Int) -> Void) { self.run = run }
}

func measure(_ workload: ThreadedWorkload, _ operations: Int) throws {
  let body = Body(try workload.prepare())
  for _ in 0..<20 {
    var busy = 0.0
    let nanoseconds = withExtendedLifetime(body) {
      timing_two_threads(
        { context, thread, count in
          guard let context else { return }
          Unmanaged<Body>.fromOpaque(context).takeUnretainedValue().run(Int(thread), count)
        }, Unmanaged.passUnretained(body).toOpaque(), operations, &busy)
    }
    guard busy > 0.9 else { continue }
    return report(nanoseconds)
  }
  fail("the machine is busy: two threads never ran at once", status: 3)
}

let workloads =
  poolWorkloads + addressWorkloads + mappingWorkloads + checkedWorkloads + spoiledWorkloads
  + growthWorkloads

let threadedWorkloads = threadedPoolWorkloads + threadedAddressWorkloads
let arguments = CommandLine.arguments

if arguments.count == 2, arguments[1] == "list" {
  for workload in workloads { print(workload.name) }
  for workload in threadedWorkloads { print(workload.name) }
} else if arguments.count == 3, let operations = Int(arguments[2]), operations > 0 {
  if let workload = workloads.first(where: { $0.name == arguments[1] }) {
    try measure(workload, operations)
  } else if let workload = threadedWorkloads.first(where: { $0.name == arguments[1] }) {
    try measure(workload, operations)
  } else {
    fail("no workload \(arguments[1])", status: 2)
  }
} else {
  fail("usage: Workloads list | CASE OPERATIONS", status: 2)
}
