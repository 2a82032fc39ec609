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
  private var known: UnsafeMutablePointer<KnownDevice>
  private var knownCount = 0
  private var last = 0
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
  }

  func deallocate() {
    unsafe known.deallocate()
    table.deallocate()
  }

  mutating func scan(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    let map = Bytes.word("dma_map_")
    let unmap = Bytes.word("dma_unma")
    let addressKey = Bytes.word("dma_addr")
    let sizeKey = Bytes.word(" size=")
    let directionKey = UInt32(truncatingIfNeeded: Bytes.word("dir="))
    var at = unsafe start
    var slow = SlowLines()
    while unsafe at < end {
      // The first '=' of an ordinary line is that of `dir=`; before it stand name and device.
      guard let found = unsafe memchr(at, 0x3d, end - at) else { break }
      var field = unsafe UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
      let lineStart = unsafe at
      quick: do {
        guard unsafe field - at > 24, unsafe Bytes.load4(field - 3) == directionKey,
          unsafe field[-4] == 0x20
        else { break quick }
        let deviceEnd = unsafe field - 4
        var device = unsafe deviceEnd
        while unsafe device[-1] > 0x20 { unsafe device -= 1 }
        guard unsafe device > lineStart + 12, unsafe device[-1] == 0x20, unsafe device[-2] == 0x3a
        else { break quick }
        var name = unsafe device - 2
        while unsafe Bytes.isNameByte(name[-1]) { unsafe name -= 1 }
        guard unsafe name > lineStart else { break quick }
        let kind = unsafe Bytes.load8(name)
        guard kind == map || kind == unmap else { break quick }
        let direction = unsafe field[1]
        unsafe field += 2
        while unsafe field.pointee > 0x20 { unsafe field += 1 }
        guard unsafe Bytes.load8(field + 1) == addressKey, unsafe field[9] == 0x3d else {
          break quick
        }
        unsafe field += 10
        let address = unsafe Bytes.hex(&field)
        guard unsafe Bytes.load8(field) & 0xffff_ffff_ffff == sizeKey else { break quick }
        unsafe field += 6
        let size = unsafe Bytes.decimal(&field)
        // An '=' further up would have been in a line of its own: a comment, a mark, a stack.
        guard unsafe memchr(lineStart, 0x0a, device - lineStart) == nil else { break quick }
        unsafe count(
          isUnmap: kind == unmap, device, deviceEnd - device, direction: direction, address, size)
        guard let newline = unsafe memchr(field, 0x0a, end - field) else { return }
        unsafe at = unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)) + 1
        continue
      }
      var lineEnd = unsafe end
      if let newline = unsafe memchr(lineStart, 0x0a, end - lineStart) {
        unsafe lineEnd = unsafe UnsafePointer(newline.assumingMemoryBound(to: UInt8.self))
      }
      unsafe slow.read(lineStart, lineEnd, into: &self)
      unsafe at = unsafe lineEnd + 1
    }
    slow.deallocate()
  }

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
    let first = unsafe Bytes.load8(name)
    let final = unsafe length > 8 ? Bytes.load8(name + (length &- 8)) : 0
    let start = length >= 8 ? first : Bytes.first(max(length, 1), of: first)
    if last < knownCount, unsafe known[last].first == start, unsafe known[last].last == final,
      unsafe known[last].length == length, length <= 16
    {
      return last
    }
    return unsafe slowNumber(name, length, start, final)
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
      last = index
      return index
    }
    guard knownCount < Self.knownLimit else { return -1 }
    unsafe (known + knownCount).initialize(
      to: KnownDevice(first: first, last: final, length: length))
    unsafe devices.append(
      LeakCount.Device(
        name: String(
          decoding: UnsafeBufferPointer(start: name, count: length), as: UTF8.self)))
    knownCount += 1
    last = knownCount - 1
    return last
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
