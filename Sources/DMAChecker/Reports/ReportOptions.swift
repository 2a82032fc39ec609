internal import DMA

/// How reports are written.
public struct ReportOptions: Sendable {
  /// Whether CPU addresses are written; bus addresses always are.
  public var showsHostAddresses = false

  public init() {}
}

/// Words for the parts of a finding, the same in every format.
struct FindingWords {
  let options: ReportOptions

  static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

  static func bytes(_ count: UInt64) -> String { count == 1 ? "1 byte" : "\(count) bytes" }

  /// Nanoseconds in the unit that suits them, one decimal.
  static func time(_ nanoseconds: UInt64) -> String {
    if nanoseconds < 1000 { return "\(nanoseconds) ns" }
    if nanoseconds < 1_000_000 { return tenths(nanoseconds, 1000) + " us" }
    if nanoseconds < 1_000_000_000 { return tenths(nanoseconds, 1_000_000) + " ms" }
    return tenths(nanoseconds, 1_000_000_000) + " s"
  }

  private static func tenths(_ value: UInt64, _ unit: UInt64) -> String {
    "\(value / unit).\(value % unit * 10 / unit)"
  }

  func quantity(_ quantity: Finding.Quantity) -> String? {
    switch quantity {
    case .none: nil
    case .bytes(let count): Self.bytes(count)
    case .entries(let count): count == 1 ? "1 entry" : "\(count) entries"
    case .mappings(let count): count == 1 ? "1 mapping" : "\(count) mappings"
    case .address(let address): "up to \(Self.hex(address))"
    case .direction(let direction): direction.description
    case .family(let family): family.description
    case .memory(let kind): kind.description + " memory"
    case .pool(let number): "pool \(number)"
    case .cpuAddress(let address):
      options.showsHostAddresses ? "CPU address \(Self.hex(address))" : "another CPU address"
    }
  }

  func subject(_ subject: Finding.Subject) -> String {
    var text = "\(subject.family) at \(Self.hex(subject.address)), \(Self.bytes(subject.byteCount))"
    if options.showsHostAddresses, subject.cpuAddress != 0 {
      text += ", CPU \(Self.hex(subject.cpuAddress))"
    }
    if let direction = subject.direction { text += ", \(direction)" }
    if subject.entryCount > 0 { text += ", \(subject.entryCount) entries" }
    if let site = subject.site { text += ", made at \(site)" }
    if subject.age > 0 { text += ", \(Self.time(subject.age)) old" }
    return text
  }

  func freed(_ subject: Finding.Subject) -> String {
    var text = self.subject(subject)
    if let site = subject.endSite { text += ", ended at \(site)" }
    if subject.endAge > 0 { text += " \(Self.time(subject.endAge)) before" }
    return text
  }

  func call(_ call: Finding.Call) -> String {
    var text = Self.name(call)
    let isMask = call.kind == .maskSet || call.kind == .maskRefused
    if isMask { return text + " \(Self.hex(call.byteCount))" }
    if call.byteCount > 0 { text += " of \(Self.bytes(call.byteCount))" }
    if let address = call.address { text += " at \(Self.hex(address))" }
    if let direction = call.direction { text += ", \(direction)" }
    if call.entryCount > 0 { text += ", \(call.entryCount) entries" }
    return text
  }

  func access(_ access: Finding.Access) -> String {
    var text = access.isWrite ? "write" : "read"
    text += " of \(Self.bytes(access.byteCount)) at \(Self.hex(access.address)) by the device"
    switch access.reason {
    case nil: break
    case .notMapped: text += ", refused: nothing is mapped there"
    case .permission: text += ", refused: not permitted"
    case .notBusMaster: text += ", refused: bus mastering is off"
    case .noMemory: text += ", refused: no memory answers there"
    case .other: text += ", refused"
    }
    return text
  }

  func touch(_ touch: Finding.Touch) -> String {
    var text = touch.isWrite ? "write" : "read"
    if let offset = touch.offset { text += " at byte \(offset)" }
    return text + " by the CPU, at \(touch.place)"
  }

  func leak(_ leak: Finding.Leak) -> String {
    var text = leak.count == 1 ? "1 mapping, " : "\(leak.count) mappings, "
    text += "\(Self.bytes(leak.byteCount)) of \(leak.madeCount) that this place made"
    if leak.oldestAge > 0 {
      text += "; the oldest \(Self.time(leak.oldestAge)) old, the youngest"
      text += " \(Self.time(leak.youngestAge))"
    }
    if leak.count > 1 {
      text += "; \(leak.recentCount) of them in the later half of that time"
    }
    return text
  }

  static func name(_ call: Finding.Call) -> String {
    switch call.kind {
    case .map: "map"
    case .unmap: "unmap"
    case .allocate: "allocation"
    case .free: "free"
    case .mapScatter: "map of a scatter list"
    case .unmapScatter: "unmap of a scatter list"
    case .syncForCPU: "sync for the CPU"
    case .syncForDevice: "sync for the device"
    case .syncScatterForCPU: "sync of a scatter list for the CPU"
    case .syncScatterForDevice: "sync of a scatter list for the device"
    case .poolAllocate: "pool allocation"
    case .poolFree: "pool free"
    case .poolDestroy: "end of a pool"
    case .poolCreate: "start of a pool"
    case .poolCorrupted: "pool allocation"
    case .maskSet, .maskRefused: "mask"
    case .deviceRemoved: "removal of the device"
    case .dropped: "drop"
    case .errorChecked, .deviceAdded, .deviceQuiet, .fault, .loss, .mark: "event"
    }
  }
}
