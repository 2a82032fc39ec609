import DMA
import Glibc

/// The leak count of a stretch of text: what is mapped and never unmapped, and bytes per device.
///
/// It looks at four fields, by name, and at nothing else of a line; a line that does not look as
/// most do is read by the full reader.
@safe
struct LeakScan {
  var table = LeakTable()
  var devices: [LeakCount.Device] = []
  var events = 0
  /// Mapped twice, or released with another size or direction.
  var odd = 0
  /// Released here, but not mapped here: mapped in an earlier stretch, or not at all.
  var early: [LeakTable.Slot] = []
  // SAFETY: both owned, with `knownLimit` entries, all initialized; numbers in `places` are below
  // `knownLimit`.
  private let known: UnsafeMutablePointer<KnownDevice>
  /// Numbers of devices, by a hash of their names.
  private let places: UnsafeMutablePointer<UInt8>
  private var knownCount = 0
  private static let knownLimit = 256

  private struct KnownDevice {
    var first: UInt64
    var last: UInt64
    var length: Int
    var maps = 0
    var unmaps = 0
    var bytes: UInt64 = 0
  }

  init() {
    unsafe known = .allocate(capacity: Self.knownLimit)
    unsafe known.initialize(
      repeating: KnownDevice(first: 0, last: 0, length: 0), count: Self.knownLimit)
    unsafe places = .allocate(capacity: Self.knownLimit)
    unsafe places.initialize(repeating: 0, count: Self.knownLimit)
  }

  func deallocate() {
    unsafe known.deallocate()
    unsafe places.deallocate()
    table.deallocate()
  }

  mutating func scan(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    var at = unsafe start
    var slow = SlowLines()
    // Where the last ordinary line had its event's name: the next has it there, too.
    var column = 0
    while unsafe at < end {
      if column > 0, let next = unsafe quickLine(at, end, column) {
        unsafe at = unsafe next
        continue
      }
      if let next = unsafe ordinaryLine(at, end, &column) {
        unsafe at = unsafe next
        continue
      }
      var lineEnd = unsafe end
      if let newline = unsafe memchr(at, 0x0a, end - at) {
        unsafe lineEnd = unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self))
      }
      unsafe slow.read(at, lineEnd, into: &self)
      unsafe at = unsafe lineEnd + 1
    }
    slow.deallocate()
  }

  /// A line of the most usual shape, its event's name at `column`, without a loop or a guess.
  ///
  /// - Returns: where the next line begins; nil leaves the line, uncounted, to slower ways.
  @inline(__always)
  private mutating func quickLine(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ column: Int
  ) -> UnsafePointer<UInt8>? {
    guard unsafe end - start > Self.quickRoom else { return nil }
    let name = unsafe start + column
    let kind = unsafe Bytes.load8(name)
    let isUnmap = kind == Self.unmap
    let two = isUnmap ? 2 : 0
    let call = unsafe Bytes.load8(name + 4 + two)
    guard isUnmap || kind == Self.map, call == Self.mapPage || call == Self.mapPhys,
      unsafe Bytes.load4(name - 2) & 0xffff == 0x203a,
      unsafe Bytes.load4(name + 12 + two) & 0xffff == 0x203a,
      unsafe !Self.hasNewline(start, column)
    else { return nil }
    let device = unsafe name + 14 + two
    var length = unsafe Digits.count(before: 0x20, in: Bytes.load8(device))
    if length == 8 { length = unsafe 8 &+ Digits.count(before: 0x20, in: Bytes.load8(device + 8)) }
    var at = unsafe device + length
    guard length &- 1 < 15, length > 0, unsafe Bytes.load8(at) & 0xff_ffff_ffff == Self.dirKey
    else { return nil }
    let direction = unsafe at[5]
    guard Digits.isDirection(direction) else { return nil }
    unsafe at += Digits.directionLength(direction)
    guard unsafe Bytes.load8(at) == Self.busKey, unsafe Bytes.load4(at + 6) &>> 16 == 0x3d72 else {
      return nil
    }
    unsafe at += 10
    guard let address = unsafe Digits.hexField(&at),
      unsafe Bytes.load8(at) & 0xffff_ffff_ffff == Self.sizeKey
    else { return nil }
    unsafe at += 6
    let sizeWord = unsafe Bytes.load8(at)
    let sizeLength = Digits.count(before: 0x20, in: sizeWord)
    guard sizeLength &- 1 < 7, sizeLength > 0, let size = Digits.decimal(sizeWord, sizeLength)
    else { return nil }
    unsafe at += sizeLength
    // The usual ends are taken in one step; what follows is searched for its newline.
    var tail = unsafe at
    if !isUnmap {
      guard address != .max, unsafe Bytes.load8(at) == Self.physicalKey else { return nil }
      unsafe tail += 11
      let digits = unsafe Digits.count(before: 0x20, in: Bytes.load8(tail))
      unsafe tail += digits
      if digits == 8 { unsafe tail += unsafe Digits.count(before: 0x20, in: Bytes.load8(tail)) }
    }
    unsafe count(isUnmap: isUnmap, device, length, direction: direction, address, size)
    if unsafe Bytes.load8(tail) == Self.usualEnd { return unsafe tail + 8 }
    guard let newline = unsafe memchr(at, 0x0a, end - at) else { return unsafe end }
    return unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)) + 1
  }

  /// Bytes of a line that are looked at before anything says that they are there.
  private static let quickRoom = 256
  private static let longestColumn = 96

  /// Whether one of the first `count` bytes ends the line, looked at in sixteens.
  @inline(__always)
  private static func hasNewline(_ start: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let newline = SIMD16<UInt8>(repeating: 0x0a)
    var found = SIMD16<UInt8>()
    var at = 0
    while at < count {
      let bytes = unsafe UnsafeRawPointer(start + at).loadUnaligned(as: SIMD16<UInt8>.self)
      found.replace(with: 1, where: bytes .== newline)
      at &+= 16
    }
    let halves = unsafe unsafeBitCast(found, to: SIMD2<UInt64>.self)
    return halves[0] | halves[1] != 0
  }

  /// A line whose first '=' is that of `dir=`, before which stand name and device.
  ///
  /// - Returns: where the next line begins; nil leaves the line, uncounted, to the full reader.
  private mutating func ordinaryLine(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ column: inout Int
  ) -> UnsafePointer<UInt8>? {
    guard let found = unsafe memchr(start, 0x3d, end - start) else { return nil }
    var field = unsafe UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
    guard unsafe field - start > 24, unsafe Bytes.load8(field - 4) & 0xff_ffff_ffff == Self.dirKey
    else { return nil }
    let deviceEnd = unsafe field - 4
    var device = unsafe deviceEnd
    while unsafe device[-1] > 0x20 { unsafe device -= 1 }
    guard unsafe device > start + 12, unsafe device[-1] == 0x20, unsafe device[-2] == 0x3a
    else { return nil }
    var name = unsafe device - 2
    while unsafe Bytes.isNameByte(name[-1]) { unsafe name -= 1 }
    guard unsafe name > start else { return nil }
    let kind = unsafe Bytes.load8(name)
    guard kind == Self.map || kind == Self.unmap else { return nil }
    let direction = unsafe field[1]
    unsafe field += 2
    while unsafe field.pointee > 0x20 { unsafe field += 1 }
    guard unsafe Bytes.load8(field) == Self.busKey, unsafe field[8] == 0x72, unsafe field[9] == 0x3d
    else {
      return nil
    }
    unsafe field += 10
    let address = unsafe Bytes.hex(&field)
    // A mapping that failed is none.
    guard kind == Self.unmap || address != .max else { return nil }
    guard unsafe Bytes.load8(field) & 0xffff_ffff_ffff == Self.sizeKey else { return nil }
    unsafe field += 6
    let size = unsafe Bytes.decimal(&field)
    // An '=' further up would have been in a line of its own: a comment, a mark, a stack.
    guard unsafe memchr(start, 0x0a, device - start) == nil else { return nil }
    unsafe count(
      isUnmap: kind == Self.unmap, device, deviceEnd - device, direction: direction, address, size)
    let place = unsafe name - start
    column = place <= Self.longestColumn ? place : 0
    guard let newline = unsafe memchr(field, 0x0a, end - field) else { return unsafe end }
    return unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)) + 1
  }

  private static let map = Bytes.word("dma_map_")
  private static let unmap = Bytes.word("dma_unma")
  private static let mapPage = Bytes.word("map_page")
  private static let mapPhys = Bytes.word("map_phys")
  private static let dirKey = Bytes.word(" dir=")
  private static let busKey = Bytes.word(" dma_add")
  private static let physicalKey = Bytes.word(" phys_ad")
  private static let sizeKey = Bytes.word(" size=")
  private static let usualEnd = Bytes.word(" attrs=\n")

  @inline(__always)
  mutating func count(
    isUnmap: Bool, _ name: UnsafePointer<UInt8>, _ length: Int, direction: UInt8,
    _ address: UInt64, _ size: UInt64
  ) {
    let device = unsafe number(name, length)
    guard device >= 0 else { return }
    events &+= 1
    let what = LeakTable.what(UInt64(device), direction, size)
    if isUnmap {
      unsafe known[device].unmaps &+= 1
      let mapped = table.remove(address, UInt64(device))
      if mapped == 0 {
        early.append(LeakTable.Slot(address: address, what: what))
      } else if mapped != what {
        odd &+= 1
      }
    } else {
      unsafe known[device].maps &+= 1
      unsafe known[device].bytes &+= size
      if !table.put(address, what) { odd &+= 1 }
    }
  }

  @inline(__always)
  private mutating func number(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int {
    let head = unsafe Bytes.load8(name)
    let first = length >= 8 ? head : Bytes.first(max(length, 1), of: head)
    let final = unsafe length > 8 ? Bytes.load8(name + (length &- 8)) : 0
    let hash = (first ^ final &<< 7 ^ final &>> 29) &* 0x9e37_79b9_7f4a_7c15
    let place = Int(truncatingIfNeeded: hash &>> 56)
    let number = unsafe Int(places[place])
    if unsafe known[number].first == first, unsafe known[number].last == final,
      unsafe known[number].length == length, length <= 16
    {
      return number
    }
    let found = unsafe slowNumber(name, length, first, final)
    if found >= 0 { unsafe places[place] = UInt8(truncatingIfNeeded: found) }
    return found
  }

  @inline(never)
  private mutating func slowNumber(
    _ name: UnsafePointer<UInt8>, _ length: Int, _ first: UInt64, _ final: UInt64
  ) -> Int {
    for index in 0..<knownCount
    where unsafe known[index].first == first && known[index].last == final
      && known[index].length == length
      && (length <= 16
        || Array(devices[index].name.utf8).elementsEqual(
          UnsafeBufferPointer(start: name, count: length)))
    {
      return index
    }
    guard knownCount < Self.knownLimit else { return -1 }
    unsafe known[knownCount] = KnownDevice(first: first, last: final, length: length)
    unsafe devices.append(
      LeakCount.Device(
        name: String(
          decoding: UnsafeBufferPointer(start: name, count: length), as: UTF8.self)))
    knownCount += 1
    return knownCount - 1
  }

  /// Moves the counters to where others can read them.
  mutating func finish() {
    for index in 0..<knownCount {
      devices[index].maps = unsafe known[index].maps
      devices[index].unmaps = unsafe known[index].unmaps
      devices[index].bytes = unsafe known[index].bytes
    }
  }
}

/// Lines that the quick way does not fit: other orders of fields, other events, other tools.
private struct SlowLines {
  private let context = TraceContext()
  private var parser: TextParser
  private let sink: Sink

  /// Keeps the event a line held.
  private final class Sink: TraceSink {
    var event: TraceEvent?
    func accept(_ event: inout TraceEvent) { self.event = event }
    func attachStack(_ stack: UInt32) {}
  }

  init() {
    parser = TextParser(context: context)
    sink = Sink()
  }

  func deallocate() { parser.deallocate() }

  mutating func read(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, into scan: inout LeakScan
  ) {
    sink.event = nil
    unsafe parser.parse(start, end, into: sink)
    guard let event = sink.event, event.kind == .map || event.kind == .unmap,
      !event.flags.contains(.failed)
    else { return }
    var name = context.devices.name(event.device)
    let direction: UInt8 =
      switch event.direction {
      case 0: 0x42
      case 1: 0x54
      case 2: 0x46
      default: 0x4e
      }
    // The quick way loads eight bytes at a time: give it room behind the name.
    let length = name.utf8.count
    name += "                "
    name.withUTF8 { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe scan.count(
        isUnmap: event.kind == .unmap, base, length, direction: direction, event.dmaAddress,
        event.byteCount)
    }
  }
}
