import DMA

/// Fields that only some events have: lists, flags, counts.
extension TextParser {
  /// Any other word of the line.
  ///
  /// Words nobody knows are passed over: newer kernels may add some.
  mutating func parseOther(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ isRaw: Bool,
    _ lists: inout Lists
  ) -> Bool {
    let key = unsafe at
    while unsafe at < end, unsafe at.pointee > 0x20, unsafe at.pointee != 0x3d { unsafe at += 1 }
    guard unsafe at < end, unsafe at.pointee == 0x3d else {
      if unsafe Bytes.starts(key, end, "[TRUNCATED]") { event.known.insert(.truncated) }
      return true
    }
    let length = unsafe at - key
    unsafe at += 1
    func isKey(_ text: StaticString) -> Bool {
      unsafe length == text.utf8CodeUnitCount && Bytes.starts(key, end, text)
    }
    switch length {
    case 3 where isKey("err"):
      event.flags.insert(.failed)
    case 4 where isKey("ents"):
      unsafe parseCount(&at) { event, count in
        event.segmentCount = count
        event.known.insert(.segmentCount)
      }
    case 4 where isKey("addr"):
      event.dmaAddress = unsafe Bytes.number(&at, hexByDefault: !isRaw)
      event.known.insert(.dmaAddress)
    case 5 where isKey("nents"):
      unsafe parseCount(&at) { event, count in
        event.entryCount = count
        event.known.insert(.entryCount)
      }
    case 5 where isKey("sizes"), 7 where isKey("lengths"):
      unsafe parseList(&at, end, isRaw, elementBytes: 4, &lists, \.lengths)
    case 5 where isKey("addrs"), 10 where isKey("phys_addrs"):
      unsafe parseList(&at, end, isRaw, elementBytes: 8, &lists, \.physical)
    case 6 where isKey("device"):
      unsafe parseDevice(&at, end)
      return true
    case 9 where isKey("dma_addrs"):
      // The failed map prints its physical addresses under this name.
      if event.flags.contains(.failed) {
        unsafe parseList(&at, end, isRaw, elementBytes: 8, &lists, \.physical)
      } else {
        unsafe parseList(&at, end, isRaw, elementBytes: 8, &lists, \.bus)
      }
    case 9 where isKey("virt_addr"):
      event.cpuAddress = unsafe parsePointer(&at, end)
      event.known.insert(.cpuAddress)
    case 9 where isKey("full_ents"):
      event.segmentCount = unsafe UInt32(truncatingIfNeeded: Bytes.number(&at, hexByDefault: false))
      event.known.insert(.segmentCount)
    case 9 where isKey("truncated"):
      if unsafe Bytes.number(&at, hexByDefault: false) != 0 { event.known.insert(.truncated) }
    case 10 where isKey("full_nents"):
      event.entryCount = unsafe UInt32(truncatingIfNeeded: Bytes.number(&at, hexByDefault: false))
      event.known.insert(.entryCount)
    default: break
    }
    while unsafe at < end, unsafe at.pointee > 0x20 { unsafe at += 1 }
    return true
  }

  /// `4/4`: shown and full; only the full count says how long the list is.
  private mutating func parseCount(
    _ at: inout UnsafePointer<UInt8>, _ store: (inout TraceEvent, UInt32) -> Void
  ) {
    var count = unsafe Bytes.number(&at, hexByDefault: false)
    if unsafe at.pointee == 0x2f {
      unsafe at += 1
      let shown = count
      count = unsafe Bytes.number(&at, hexByDefault: false)
      if shown < count { event.known.insert(.truncated) }
    }
    store(&event, UInt32(truncatingIfNeeded: count))
  }

  /// `00000000a21fa1be`, `0xffff888003001000`, `(nil)`.
  private func parsePointer(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> UInt64
  {
    unsafe Bytes.starts(at, end, "(nil)") ? 0 : Bytes.number(&at, hexByDefault: true)
  }

  /// `{0x1000,0x2000}`, or `ARRAY[00, 10, ...]` with the bytes of little-endian elements.
  private mutating func parseList(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ isRaw: Bool,
    elementBytes: Int, _ lists: inout Lists, _ which: WritableKeyPath<Lists, Lists.One>
  ) {
    var list = Lists.One(start: context.listCount, count: 0, isKnown: true)
    defer { lists[keyPath: which] = list }
    if unsafe at.pointee == 0x7b {
      unsafe at += 1
      while unsafe at < end, unsafe at.pointee != 0x7d {
        guard unsafe at.pointee != 0x2c, unsafe at.pointee != 0x20 else {
          unsafe at += 1
          continue
        }
        let before = unsafe at
        unsafe context.appendToList(Bytes.number(&at, hexByDefault: true))
        list.count += 1
        guard unsafe at > before else {
          list.isKnown = false
          return
        }
      }
      // Cut off in the middle: what is there may be part of a number.
      if unsafe at >= end {
        list.isKnown = false
        list.count = 0
      } else {
        unsafe at += 1
      }
    } else if unsafe Bytes.starts(at, end, "ARRAY[") {
      unsafe at += 6
      var value: UInt64 = 0
      var byte = 0
      while unsafe at < end, unsafe at.pointee != 0x5d {
        guard unsafe at.pointee != 0x2c, unsafe at.pointee != 0x20 else {
          unsafe at += 1
          continue
        }
        let before = unsafe at
        unsafe value |= Bytes.hex(&at) &<< UInt64(8 * byte)
        guard unsafe at > before else {
          list.isKnown = false
          return
        }
        byte += 1
        if byte == elementBytes {
          context.appendToList(value)
          list.count += 1
          value = 0
          byte = 0
        }
      }
      if unsafe byte != 0 || at >= end {
        list.isKnown = false
        list.count = 0
      }
      unsafe at += at < end ? 1 : 0
    } else {
      // fields=1 prints where the array lies in the record, not what is in it.
      list.isKnown = false
      lists.isUndecodable = true
    }
  }

  /// `attrs=` and its words, joined by `|`; numbers for bits without a name.
  @inline(__always)
  mutating func parseAttributes(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    event.known.insert(.attributes)
    if unsafe at >= end || at.pointee <= 0x20 { return }
    unsafe parseAttributeWords(&at, end)
  }

  private mutating func parseAttributeWords(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) {
    while unsafe at < end, unsafe at.pointee > 0x20 {
      if unsafe at.pointee == 0x7c {
        unsafe at += 1
        continue
      }
      if unsafe Bytes.isDigit(at.pointee) {
        unsafe event.attributes |= UInt32(
          truncatingIfNeeded: Bytes.number(&at, hexByDefault: false))
        if unsafe at.pointee != 0x7c { return }
        continue
      }
      let word = unsafe at
      while unsafe at < end, unsafe at.pointee > 0x20, unsafe at.pointee != 0x7c { unsafe at += 1 }
      var isKnown = false
      for (bit, name) in AttributeNames.byBit
      where unsafe at - word == name.utf8CodeUnitCount && Bytes.starts(word, end, name) {
        event.attributes |= 1 << bit
        isKnown = true
      }
      if !isKnown { event.flags.insert(.unknownAttributes) }
    }
  }
}
