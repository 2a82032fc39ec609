import DMA

/// Chrome's JSON trace, as Perfetto and chrome://tracing read it.
///
/// Mappings overlap freely, so each is an asynchronous pair (`b`, `e`) with an id of its own: slices
/// that must nest (`X`) would be dropped. A device is a process, its kinds of mapping are tracks.
final class ChromeSink: TraceSink {
  private let context: TraceContext
  private var redaction: Redaction
  private let write: (String) -> Void
  private var text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":["
  private var isFirst = true
  private var lives = Lifetimes()
  private var liveBytes: [UInt32: UInt64] = [:]
  private var liveCounts: [UInt32: Int] = [:]
  private var named: Set<UInt32> = []
  private var lastTime: UInt64 = 0

  init(context: TraceContext, redaction: Redaction, write: @escaping (String) -> Void) {
    self.context = context
    self.redaction = redaction
    self.write = write
  }

  func attachStack(_ stack: UInt32) {}

  func accept(_ event: inout TraceEvent) {
    if event.flags.contains(.timed) { lastTime = event.time } else { lastTime += 1000 }
    if event.kind == .mark {
      add(
        "{\"name\":\(JSONText.quoted(context.marks.name(event.entryCount))),\"ph\":\"i\","
          + "\"s\":\"g\",\"ts\":\(stamp(lastTime)),\"pid\":0,\"tid\":0}")
      return
    }
    guard let change = lives.change(event, in: context) else { return }
    let life: Lifetimes.Life
    let phase: String
    switch change {
    case .began(let began):
      life = began
      phase = "b"
      liveBytes[event.device, default: 0] &+= life.record.byteCount
      liveCounts[event.device, default: 0] += 1
    case .ended(let ended):
      life = ended
      phase = "e"
      liveBytes[event.device, default: 0] &-= life.record.byteCount
      liveCounts[event.device, default: 0] -= 1
    }
    if named.insert(event.device).inserted {
      let name = redaction.name(context.devices.name(event.device), as: "device")
      add(
        "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":\(event.device),"
          + "\"args\":{\"name\":\(JSONText.quoted(name))}}")
    }
    addPhase(phase, life, event.device, event)
    add(
      "{\"name\":\"live\",\"ph\":\"C\",\"ts\":\(stamp(lastTime)),\"pid\":\(event.device),"
        + "\"args\":{\"bytes\":\(liveBytes[event.device] ?? 0),"
        + "\"mappings\":\(liveCounts[event.device] ?? 0)}}")
  }

  private func addPhase(
    _ phase: String, _ life: Lifetimes.Life, _ device: UInt32, _ event: TraceEvent?
  ) {
    let record = life.record
    let kind = FindingWords.family(record.family)
    let direction =
      record.space == .coherent ? "" : " " + FindingWords.direction(record.direction)
    var line =
      "{\"cat\":\"dma\",\"name\":\"\(kind)\(direction)\",\"ph\":\"\(phase)\","
      + "\"id\":\(life.number),\"ts\":\(stamp(lastTime)),\"pid\":\(device),\"tid\":0"
    if phase == "b", let event {
      line +=
        ",\"args\":{\"bytes\":\(record.byteCount),"
        + "\"bus\":\"\(FindingWords.hex(redaction.address(record.dmaAddress)))\","
        + "\"line\":\(record.line)"
      if event.task >= 0 {
        let task = redaction.name(context.tasks.name(event.taskName), as: "task")
        line += ",\"task\":\(JSONText.quoted("\(task)-\(event.task)"))"
      }
      line += "}"
    }
    add(line + "}")
  }

  /// Microseconds, as the format wants them.
  private func stamp(_ time: UInt64) -> String {
    let rest = String(time % 1000)
    return "\(time / 1000).\(String(repeating: "0", count: 3 - rest.utf8.count))\(rest)"
  }

  private func add(_ line: String) {
    text += isFirst ? "\n" : ",\n"
    isFirst = false
    text += line
    if text.utf8.count > 1 << 16 {
      write(text)
      text.removeAll(keepingCapacity: true)
    }
  }

  /// Ends what is alive at the end, so that every pair is whole.
  func finish() {
    for life in lives.leftOver { addPhase("e", life, life.record.device, nil) }
    write(text + "\n]}\n")
  }
}

/// Folded stacks: where mappings come from, and what they weigh.
final class FoldedSink: TraceSink {
  private let context: TraceContext
  private let weight: FoldedWeight
  private var redaction: Redaction
  private var lives = Lifetimes()
  private var weights: [Source: UInt64] = [:]
  private var stacks: [Int: UInt32] = [:]
  private var lastBegun: Lifetimes.Life?
  private var lastTime: UInt64 = 0

  private struct Source: Hashable {
    var device: UInt32
    var task: UInt32
    var stack: UInt32
    var event: UInt16
  }
  private var sources: [Int: Source] = [:]

  init(context: TraceContext, weight: FoldedWeight, redaction: Redaction) {
    self.context = context
    self.weight = weight
    self.redaction = redaction
  }

  func attachStack(_ stack: UInt32) {
    guard let life = lastBegun, var source = sources[life.number] else { return }
    let own = weight == .count ? 1 : life.record.byteCount
    if weight != .byteSeconds {
      weights[source, default: 0] &-= own
      if weights[source] == 0 { weights[source] = nil }
    }
    source.stack = stack
    sources[life.number] = source
    if weight != .byteSeconds { weights[source, default: 0] &+= own }
  }

  func accept(_ event: inout TraceEvent) {
    lastBegun = nil
    lastTime = max(lastTime, event.time)
    switch lives.change(event, in: context) {
    case .began(let life):
      let source = Source(
        device: event.device, task: event.taskName, stack: event.stack, event: event.name)
      sources[life.number] = source
      lastBegun = life
      if weight == .count { weights[source, default: 0] += 1 }
      if weight == .bytes { weights[source, default: 0] &+= life.record.byteCount }
    case .ended(let life):
      if weight == .byteSeconds { hold(life, until: event.time) }
      sources[life.number] = nil
    case nil: break
    }
  }

  private func hold(_ life: Lifetimes.Life, until time: UInt64) {
    guard let source = sources[life.number], time > life.record.time else { return }
    let held = Double(life.record.byteCount) * Double(time - life.record.time) / 1e9
    weights[source, default: 0] &+= UInt64(held.rounded())
  }

  /// `device;task;outermost;...;innermost;event weight`.
  func text() -> String {
    if weight == .byteSeconds {
      for life in lives.leftOver { hold(life, until: lastTime) }
    }
    var lines: [String] = []
    for (source, weight) in weights where weight > 0 {
      var frames = [
        redaction.name(context.devices.name(source.device), as: "device"),
        redaction.name(context.tasks.name(source.task), as: "task"),
      ]
      frames += context.stacks.name(source.stack).split(separator: "\n").reversed().map(String.init)
      frames.append(context.eventNames.name(UInt32(source.event)))
      let path = frames.filter { !$0.isEmpty }.map { frame in
        String(frame.map { $0 == ";" || $0 == " " ? "_" : $0 })
      }
      lines.append(path.joined(separator: ";") + " \(weight)")
    }
    return lines.sorted().map { $0 + "\n" }.joined()
  }
}
