/// Keeps the events of several files, and hands them out in the order of their times.
final class TraceMerger: TraceSink {
  private let context: TraceContext
  private var events: [TraceEvent] = []
  private var numbers: [UInt64] = []
  private var starts: [Int] = []
  /// Where each file's events begin.
  private var files: [Int] = []
  private var linesBefore: UInt64 = 0
  /// Loss marks, which carry no time, wait for the next event of their file.
  private var waiting = 0

  init(context: TraceContext) { self.context = context }

  /// What comes now is another file's.
  func beginFile() {
    waiting = 0
    linesBefore += context.lines
    files.append(events.count)
  }

  func accept(_ event: inout TraceEvent) {
    let count = Int(event.busCount) + Int(event.lengthCount) + Int(event.physicalCount)
    starts.append(numbers.count)
    for index in 0..<count {
      unsafe numbers.append(context.lists[Int(event.listStart) + index])
    }
    var kept = event
    kept.line += linesBefore
    if event.flags.contains(.timed) {
      for index in (events.count - waiting)..<events.count { events[index].time = event.time }
      waiting = 0
    } else {
      kept.time = events.last?.time ?? 0
      waiting += 1
    }
    events.append(kept)
  }

  func attachStack(_ stack: UInt32) {
    if !events.isEmpty { events[events.count - 1].stack = stack }
  }

  /// The events of all files; of one time in the order of the files.
  func deliver<Sink: TraceSink>(into sink: Sink) {
    context.lines += linesBefore
    var heads = files
    let ends = Array(files.dropFirst()) + [events.count]
    while true {
      var first: Int?
      for file in heads.indices where heads[file] < ends[file] {
        if let best = first, events[heads[best]].time <= events[heads[file]].time { continue }
        first = file
      }
      guard let first else { return }
      let index = heads[first]
      heads[first] += 1
      var event = events[index]
      if context.forgetsLists { context.listCount = 0 }
      event.listStart = UInt32(truncatingIfNeeded: context.listCount)
      let end = index + 1 < starts.count ? starts[index + 1] : numbers.count
      for number in numbers[starts[index]..<end] { context.appendToList(number) }
      sink.accept(&event)
    }
  }
}
