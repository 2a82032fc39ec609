import DMA

/// What the lines read so far looked like: where the CPU stands, tasks, and names of events.
///
/// A trace repeats a handful of layouts a million times. What the full reader once understood is
/// kept here by its bytes, so that the next line with the same bytes needs no understanding.
@safe
struct LineMemo {
  /// The column of the bracket before the CPU; `tooFar` when there is none.
  private(set) var column = LineMemo.tooFar
  /// Lines in a row whose bracket stood elsewhere.
  private var strangers = 0
  /// Keeps the bytes of each word of the context that stand before the bracket.
  private var masks: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

  static let tooFar = 40
  private static let taskMask = 511
  private static let nameMask = 63

  /// A context, from the start of its line to the bracket.
  private struct Task {
    /// The last word never has all bytes, so `UInt64.max` there says that the entry is empty.
    var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, .max)
    var number: Int32 = 0
    var name: UInt32 = 0
  }

  /// The name of an event whose fields come in the usual order.
  struct Name {
    var first: UInt64 = 0
    var second: UInt64 = 0
    var third: UInt64 = 0
    /// Bytes with the system's name, without the colon; 0 in empty entries.
    var length = 0
    var number: UInt16 = 0
    var kind: TraceEvent.Kind = .unknown
    var family: DMAEvent.Family = .none
  }

  // SAFETY: owned by the parser that made it; `taskMask + 1` and `nameMask + 1` entries, all
  // initialized.
  private let tasks: UnsafeMutablePointer<Task>
  private let names: UnsafeMutablePointer<Name>

  init() {
    unsafe tasks = .allocate(capacity: Self.taskMask + 1)
    unsafe tasks.initialize(repeating: Task(), count: Self.taskMask + 1)
    unsafe names = .allocate(capacity: Self.nameMask + 1)
    unsafe names.initialize(repeating: Name(), count: Self.nameMask + 1)
  }

  func deallocate() {
    unsafe tasks.deallocate()
    unsafe names.deallocate()
  }

  // MARK: Contexts

  @inline(__always)
  private static func slot(_ words: (UInt64, UInt64, UInt64, UInt64, UInt64)) -> Int {
    let mixed =
      words.0 ^ (words.1 &<< 1) ^ (words.2 &<< 3) ^ (words.1 &>> 29) ^ words.3 ^ words.4
      ^ (words.2 &>> 31)
    return Int(truncatingIfNeeded: (mixed &* 0x9e37_79b9_7f4a_7c15) &>> 48) & taskMask
  }

  @inline(__always)
  private func words(_ line: UnsafePointer<UInt8>) -> (UInt64, UInt64, UInt64, UInt64, UInt64) {
    unsafe (
      Bytes.load8(line) & masks.0, Bytes.load8(line + 8) & masks.1,
      Bytes.load8(line + 16) & masks.2, Bytes.load8(line + 24) & masks.3,
      Bytes.load8(line + 32) & masks.4
    )
  }

  /// The task of a line whose bracket stands at `column`, if its context was seen before.
  ///
  /// 40 bytes from the start of the line on must be readable.
  @inline(__always)
  func task(_ line: UnsafePointer<UInt8>) -> (number: Int32, name: UInt32)? {
    let words = unsafe words(line)
    let entry = unsafe tasks + Self.slot(words)
    guard unsafe entry.pointee.words.0 == words.0, unsafe entry.pointee.words.1 == words.1,
      unsafe entry.pointee.words.2 == words.2, unsafe entry.pointee.words.3 == words.3,
      unsafe entry.pointee.words.4 == words.4
    else { return nil }
    return unsafe (entry.pointee.number, entry.pointee.name)
  }

  /// Remembers the context of a line that the full reader understood.
  mutating func learn(
    _ line: UnsafePointer<UInt8>, bracket: Int, task: Int32, name: UInt32
  ) {
    guard bracket >= 8, bracket < Self.tooFar else { return }
    if bracket != column {
      strangers += 1
      guard column == Self.tooFar || strangers > 16 else { return }
      move(to: bracket)
    }
    strangers = 0
    let words = unsafe words(line)
    unsafe tasks[Self.slot(words)] = Task(words: words, number: task, name: name)
  }

  /// Another layout: what is remembered of contexts belongs to the old one.
  private mutating func move(to bracket: Int) {
    column = bracket
    func mask(_ word: Int) -> UInt64 {
      let count = min(max(bracket - 8 * word, 0), 8)
      return count == 0 ? 0 : .max >> UInt64(64 - 8 * count)
    }
    masks = (mask(0), mask(1), mask(2), mask(3), mask(4))
    unsafe tasks.update(repeating: Task(), count: Self.taskMask + 1)
  }

  // MARK: Names

  @inline(__always)
  private static func slot(name: UnsafePointer<UInt8>) -> Int {
    let word = unsafe Bytes.load8(name + 4)
    return Int(truncatingIfNeeded: (word &* 0x9e37_79b9_7f4a_7c15) &>> 52) & nameMask
  }

  /// The entry that may hold the name that begins here; 24 bytes must be readable.
  @inline(__always)
  func name(_ start: UnsafePointer<UInt8>) -> UnsafeMutablePointer<Name>? {
    let entry = unsafe names + Self.slot(name: start)
    let length = unsafe entry.pointee.length
    guard length > 0, unsafe Bytes.load8(start) == entry.pointee.first,
      unsafe Bytes.load8(start + 8) & Self.mask(length - 8) == entry.pointee.second,
      unsafe Bytes.load8(start + 16) & Self.mask(length - 16) == entry.pointee.third,
      unsafe start[length] == 0x3a
    else { return nil }
    return unsafe entry
  }

  /// Remembers the name of a call whose line the full reader understood.
  func learn(
    _ start: UnsafePointer<UInt8>, length: Int, number: UInt16, kind: TraceEvent.Kind,
    family: DMAEvent.Family
  ) {
    guard length > 8, length <= 24 else { return }
    unsafe names[Self.slot(name: start)] = unsafe Name(
      first: Bytes.load8(start), second: Bytes.load8(start + 8) & Self.mask(length - 8),
      third: Bytes.load8(start + 16) & Self.mask(length - 16), length: length, number: number,
      kind: kind, family: family)
  }

  /// Keeps the first `count` bytes of a word: all above 8, none below 1.
  @inline(__always)
  private static func mask(_ count: Int) -> UInt64 {
    count >= 8 ? .max : count <= 0 ? 0 : .max &>> UInt64(truncatingIfNeeded: 64 &- 8 &* count)
  }
}
