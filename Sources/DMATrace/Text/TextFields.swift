import DMA

/// The fields of an event, found by name, in the kernel's print format or as raw fields.
extension TextParser {
  /// Reads what follows the event's name; false when nothing in it can be used.
  @inline(__always)
  mutating func parseFields(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> Bool
  {
    switch event.kind {
    case .mark:
      return unsafe parseMark(at, end)
    case .bounced, .translationAdded, .translationRemoved, .deviceJoined, .deviceLeft,
      .deviceAttached, .fault:
      return unsafe parseNeighbour(&at, end)
    default:
      return unsafe parseCall(&at, end)
    }
  }

  /// A `dma:*` event.
  @inline(__always)
  private mutating func parseCall(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>)
    -> Bool
  {
    var isRaw = false
    if unsafe at.pointee == 0x5b, unsafe Bytes.starts(at, end, "[FAILED TO PARSE]") {
      unsafe at += 17
      unsafe Bytes.skipSpaces(&at)
      isRaw = true
    }
    if unsafe Bytes.load8(at) & 0x00ff_ffff_ffff_ffff == Self.deviceKey {
      isRaw = true
    } else {
      unsafe parseDevice(&at, end)
      unsafe Bytes.skipSpaces(&at)
    }
    var lists = Lists()
    while unsafe at < end {
      let word = unsafe Bytes.load8(at)
      if word & 0xffff_ffff == Self.directionKey {
        unsafe at += 4
        unsafe parseDirection(&at)
      } else if word == Self.busKey, unsafe at[8] == 0x3d {
        unsafe at += 9
        event.dmaAddress = unsafe Bytes.number(&at, hexByDefault: !isRaw)
        event.known.insert(.dmaAddress)
      } else if word & 0xff_ffff_ffff == Self.sizeKey {
        unsafe at += 5
        event.byteCount = unsafe Bytes.number(&at, hexByDefault: false)
        event.known.insert(.byteCount)
      } else if word == Self.physicalKey, unsafe at[8] == 0x72, unsafe at[9] == 0x3d {
        unsafe at += 10
        event.physicalAddress = unsafe Bytes.number(&at, hexByDefault: !isRaw)
        event.known.insert(.physicalAddress)
      } else if word & 0xffff_ffff_ffff == Self.attributesKey {
        unsafe at += 6
        unsafe parseAttributes(&at, end)
      } else if unsafe !parseOther(&at, end, isRaw, &lists) {
        return false
      }
      if unsafe at < end, unsafe at.pointee != 0x20 {
        // Something glued to a value we know: the line is not what it seems.
        while unsafe at < end, unsafe at.pointee != 0x20 { unsafe at += 1 }
      }
      unsafe Bytes.skipSpaces(&at)
      if unsafe at.pointee == 0x28 {  // fields=1 prints each number twice: "0x3c (60)"
        while unsafe at < end, unsafe at.pointee != 0x29 { unsafe at += 1 }
        unsafe at += at < end ? 1 : 0
        unsafe Bytes.skipSpaces(&at)
      }
    }
    return completeCall(lists)
  }

  @inline(__always)
  mutating func parseDevice(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
    let name = unsafe at
    while unsafe at.pointee > 0x20 { unsafe at += 1 }
    if unsafe at.pointee == 0x20, unsafe at[1] != 0x20 { unsafe parseRestOfDevice(&at, end) }
    event.device = unsafe UInt32(
      truncatingIfNeeded: recentDevices.number(of: name, at - name, in: context.devices))
  }

  /// A device's name may have spaces ("Fixed MDIO bus.0"): it ends where a field begins.
  @inline(__always)
  private func parseRestOfDevice(
    _ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) {
    let word = unsafe Bytes.load8(at)
    if word & 0xff_ffff_ffff == Self.directionField { return }
    var next = unsafe at
    var last = unsafe at
    while unsafe next < end, unsafe next.pointee == 0x20 {
      let wordStart = unsafe next
      unsafe next += 1
      while unsafe next < end, unsafe next.pointee > 0x20, unsafe next.pointee != 0x3d {
        unsafe next += 1
      }
      if unsafe next < end, unsafe next.pointee == 0x3d {
        unsafe at = unsafe wordStart
        return
      }
      if unsafe next > wordStart + 1 { unsafe last = unsafe next }
    }
    // In these the device is the last field.
    switch event.kind {
    case .deviceJoined, .deviceLeft, .deviceAttached: unsafe at = unsafe last
    default: break
    }
  }

  @inline(__always)
  private mutating func parseDirection(_ at: inout UnsafePointer<UInt8>) {
    switch unsafe at.pointee {
    case 0x54: event.direction = 1  // TO_DEVICE
    case 0x46: event.direction = 2  // FROM_DEVICE
    case 0x42: event.direction = 0  // BIDIRECTIONAL
    case 0x4e: event.direction = 3  // NONE
    default:
      let number = unsafe Bytes.number(&at, hexByDefault: false)
      event.direction = number < 4 ? UInt8(number) : 0xff
    }
    while unsafe at.pointee > 0x20 { unsafe at += 1 }
    if event.direction < 3 { event.known.insert(.direction) }
  }

  /// What a call lacks decides whether it can be used.
  @inline(__always)
  private mutating func completeCall(_ lists: Lists) -> Bool {
    guard event.device != 0 else { return false }
    switch event.kind {
    case .map, .unmap, .syncForCPU, .syncForDevice:
      guard event.known.contains([.dmaAddress, .byteCount]) else { return false }
      if event.kind == .map, event.dmaAddress == .max { event.flags.insert(.failed) }
      return true
    case .allocate:
      guard event.known.contains(.byteCount) else { return false }
      if event.family != .noncontiguous, event.known.contains(.cpuAddress), event.cpuAddress == 0 {
        event.flags.insert(.failed)
      }
    case .free:
      guard event.known.contains([.dmaAddress, .byteCount]) else { return false }
    default: break
    }
    place(lists)
    return true
  }

  /// Puts the lists of an event into the order the record promises.
  private mutating func place(_ lists: Lists) {
    // Lists were appended in the order of the line; the record wants bus, length, physical.
    let total = lists.bus.count + lists.lengths.count + lists.physical.count
    event.busCount = UInt16(truncatingIfNeeded: min(lists.bus.count, 65535))
    event.lengthCount = UInt16(truncatingIfNeeded: min(lists.lengths.count, 65535))
    event.physicalCount = UInt16(truncatingIfNeeded: min(lists.physical.count, 65535))
    if lists.bus.isKnown { event.known.insert(.segmentAddresses) }
    if lists.lengths.isKnown { event.known.insert(.segmentByteCounts) }
    if lists.physical.isKnown { event.known.insert(.segmentPhysicalAddresses) }
    if lists.isUndecodable { context.undecodableEvents += 1 }
    let inOrder =
      (lists.lengths.count == 0 || lists.bus.count == 0 || lists.bus.start < lists.lengths.start)
      && (lists.physical.count == 0
        || lists.bus.start <= lists.physical.start && lists.lengths.start <= lists.physical.start)
    if total > 0, !inOrder || context.listCount != Int(event.listStart) + total {
      let start = context.listCount
      for list in [lists.bus, lists.lengths, lists.physical] {
        for index in 0..<list.count {
          unsafe context.appendToList(context.lists[list.start + index])
        }
      }
      event.listStart = UInt32(truncatingIfNeeded: start)
    }
    switch event.kind {
    case .mapScatter:
      if !event.known.contains(.entryCount), lists.physical.isKnown,
        !event.known.contains(.truncated)
      {
        event.entryCount = UInt32(lists.physical.count)
        event.known.insert(.entryCount)
      }
      if !event.known.contains(.segmentCount), lists.bus.isKnown,
        !event.known.contains(.truncated)
      {
        event.segmentCount = UInt32(lists.bus.count)
        event.known.insert(.segmentCount)
      }
    case .unmapScatter:
      if lists.physical.isKnown {
        event.entryCount = UInt32(lists.physical.count)
        event.known.insert(.entryCount)
      }
    default: break
    }
  }

  static let deviceKey = Bytes.word("device=")
  private static let directionField = Bytes.word(" dir=")
  static let directionKey = Bytes.word("dir=")
  static let busKey = Bytes.word("dma_addr")
  static let sizeKey = Bytes.word("size=")
  static let physicalKey = Bytes.word("phys_add")
  static let attributesKey = Bytes.word("attrs=")
}

/// Where the lists of a line were put, in the order they came.
struct Lists {
  struct One {
    var start = 0
    var count = 0
    var isKnown = false
  }
  var bus = One()
  var lengths = One()
  var physical = One()
  var isUndecodable = false
}
