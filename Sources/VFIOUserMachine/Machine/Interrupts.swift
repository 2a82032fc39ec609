internal import CVFIOUserHost
internal import PCI
internal import Synchronization

/// Message interrupts: event descriptors that the server signals.
///
/// A driver gets a message, an address and a number, writes it where the device wants it, and turns
/// messages on, as on a bus. What it writes is seen here on its way to the server, and the message's
/// event descriptor is given to the server then.
final class Interrupts: Sendable {
  /// Where drivers are told to send messages: what interrupt controllers of PCs have.
  static let messageAddress: UInt64 = 0xfee0_0000
  /// A message's number has 16 bits; more are never needed.
  static let messageCountMax = 2048
  /// The entry of an MSI-X table (PCI 3.0, 6.8.2).
  private static let entryByteCount = 16

  /// MSI-X as the device has it.
  struct Table: Sendable {
    var capability: Int
    var count: Int
    var region: Int
    var offset: UInt64

    var byteCount: UInt64 { UInt64(count * Interrupts.entryByteCount) }
  }

  private struct State: ~Copyable {
    /// Event descriptors by message number; nil where the number is free.
    var events: [Int32?] = []
    /// The MSI-X table, as 32-bit words; all vectors are masked after a reset.
    var words: [UInt32]
    /// What drivers wrote where MSI's data is, without and with 64 address bits.
    var data: (short: UInt16, long: UInt16) = (0, 0)
    var isMSIOn = false
    var isMSIXOn = false
    /// The event descriptors the server has, by vector.
    var assigned: [Int32?] = []

    deinit {
      for event in events { if let event { _ = Descriptor(event) } }
    }
  }

  let msi: IRQInfo
  let msix: IRQInfo
  private let msiCapability: Int?
  let table: Table?
  private let state: Mutex<State>

  /// Asks for the device's capabilities and how many vectors there are.
  init(
    _ client: VFIOUserClient, _ info: DeviceInfo, _ regions: [VFIOUserHost.Region]
  ) throws(VFIOUserError) {
    msi = info.irqTypeCount > VFIOIndex.msi ? try client.irqInfo(VFIOIndex.msi) : IRQInfo()
    msix = info.irqTypeCount > VFIOIndex.msix ? try client.irqInfo(VFIOIndex.msix) : IRQInfo()
    let places = try Self.capabilities(client)
    msiCapability = places.msi
    table = try places.msix.map { place throws(VFIOUserError) in
      try Self.table(client, place, regions)
    }
    let words = (0..<(table?.count ?? 0) * 4).map { $0 % 4 == 3 ? 1 : 0 as UInt32 }
    state = Mutex(State(words: words))
  }

  private static func configuration(
    _ client: VFIOUserClient, _ offset: Int, _ byteCount: Int
  ) throws(VFIOUserError) -> UInt64 {
    try client.readRegion(
      VFIOIndex.configurationRegion, at: UInt64(offset), byteCount: byteCount)
  }

  private static func capabilities(
    _ client: VFIOUserClient
  ) throws(VFIOUserError) -> (msi: Int?, msix: Int?) {
    var found: (msi: Int?, msix: Int?) = (nil, nil)
    // Bit 4 of status: there is a list (PCI 3.0, 6.2.3).
    guard try configuration(client, PCIRegister.status, 2) & 1 << 4 != 0 else { return found }
    var place = Int(try configuration(client, PCIRegister.capabilities, 1) & ~3)
    // 192 bytes hold at most 48 capabilities: a list that is longer is a loop.
    for _ in 0..<48 where place >= 0x40 {
      let head = try configuration(client, place, 2)
      switch UInt8(truncatingIfNeeded: head) {
      case PCICapabilityID.msi: found.msi = place
      case PCICapabilityID.msix: found.msix = place
      default: break
      }
      place = Int(head >> 8 & ~3 & 0xff)
    }
    return found
  }

  private static func table(
    _ client: VFIOUserClient, _ place: Int, _ regions: [VFIOUserHost.Region]
  ) throws(VFIOUserError) -> Table {
    let count = Int(try configuration(client, place + 2, 2) & 0x7ff) + 1
    let where_ = try configuration(client, place + 4, 4)
    let table = Table(
      capability: place, count: count, region: Int(where_ & 7), offset: where_ & ~7)
    guard table.region < VFIOIndex.barCount,
      table.offset + table.byteCount <= regions[table.region].info.byteCount
    else { throw .protocolViolation(.regionRead, .field("MSI-X table", where_)) }
    return table
  }

  // MARK: Messages

  /// A message nobody has; nil when there are none or the host has no descriptor.
  func allocate(vector: Int) -> Int? {
    guard vector >= 0,
      (vector < msi.count && msi.hasEvents) || (vector < msix.count && msix.hasEvents)
    else { return nil }
    return state.withLock { state in
      let event = vfio_user_host_event_create()
      guard event >= 0 else { return nil }
      if let free = state.events.firstIndex(of: nil) {
        state.events[free] = event
        return free
      }
      guard state.events.count < Self.messageCountMax else {
        _ = Descriptor(event)
        return nil
      }
      state.events.append(event)
      return state.events.count - 1
    }
  }

  func free(_ message: Int) {
    state.withLock { state in
      guard let event = state.events[message] else { return }
      state.events[message] = nil
      // The server keeps its own copy; nobody looks at it any more.
      _ = Descriptor(event)
    }
  }

  /// Whether the message was sent since the last call; forgets it.
  func take(_ message: Int) -> Bool {
    state.withLock { state in
      guard let event = state.events[message] else { return false }
      return vfio_user_host_event_take(event) != 0
    }
  }

  /// What is written into the device.
  static func data(_ message: Int) -> UInt16 { UInt16(message + 1) }

  // MARK: The MSI-X table

  /// Where in the table a register lies; nil for registers outside of it.
  func tableOffset(_ region: Int, _ offset: UInt64, _ byteCount: Int) -> Int? {
    guard let table, region == table.region, offset >= table.offset,
      offset - table.offset <= table.byteCount - UInt64(byteCount)
    else { return nil }
    return Int(offset - table.offset)
  }

  func readTable(_ offset: Int, _ byteCount: Int) -> UInt64 {
    state.withLock { state in
      let low = UInt64(state.words[offset / 4])
      if byteCount == 8 { return low | UInt64(state.words[offset / 4 + 1]) << 32 }
      let shifted = low >> UInt64((offset & 3) * 8)
      return byteCount == 4 ? shifted : shifted & (1 << UInt64(byteCount * 8) - 1)
    }
  }

  /// Takes whole words; gives the server what changes with them.
  func writeTable(
    _ offset: Int, _ byteCount: Int, _ value: UInt64, _ client: VFIOUserClient
  ) throws(VFIOUserError) {
    guard byteCount >= 4 else { return }
    state.withLock { state in
      state.words[offset / 4] = UInt32(truncatingIfNeeded: value)
      if byteCount == 8 { state.words[offset / 4 + 1] = UInt32(truncatingIfNeeded: value >> 32) }
    }
    try apply(client)
  }

  // MARK: Turning on and off

  /// Looks at what is written to configuration space, before the server gets it.
  func configurationWrite(
    _ offset: Int, _ byteCount: Int, _ value: UInt32, _ client: VFIOUserClient
  ) throws(VFIOUserError) {
    if let msiCapability { try msiWrite(offset - msiCapability, byteCount, value, client) }
    if let table, offset == table.capability + 2, byteCount == 2 {
      // Bit 15: on; bit 14: all masked.
      let isOn = value & 0xc000 == 0x8000
      let wasOn = state.withLock { state in
        let was = state.isMSIXOn
        state.isMSIXOn = isOn
        return was
      }
      if isOn {
        try apply(client)
      } else if wasOn {
        state.withLock { $0.assigned = [] }
        try client.setIRQs(VFIOIndex.msix, .disable)
      }
    }
  }

  /// - Parameter place: in the MSI capability (PCI 3.0, 6.8.1).
  private func msiWrite(
    _ place: Int, _ byteCount: Int, _ value: UInt32, _ client: VFIOUserClient
  ) throws(VFIOUserError) {
    let data = UInt16(truncatingIfNeeded: value)
    switch place {
    case 8: state.withLock { $0.data.short = data }
    case 12: state.withLock { $0.data.long = data }
    case 2 where byteCount == 2 && value & 1 != 0:
      // Bit 7: the address has 64 bits.
      let data = state.withLock { value & 1 << 7 != 0 ? $0.data.long : $0.data.short }
      try turnMSIOn(client, data)
    case 2 where byteCount == 2:
      let wasOn = state.withLock { state in
        let was = state.isMSIOn
        state.isMSIOn = false
        return was
      }
      if wasOn { try client.setIRQs(VFIOIndex.msi, .disable) }
    default: break
    }
  }

  private func turnMSIOn(_ client: VFIOUserClient, _ data: UInt16) throws(VFIOUserError) {
    let event = state.withLock { state in Self.event(&state, data) }
    guard let event else { return }
    try client.setIRQs(VFIOIndex.msi, .assignEvents, count: 1, events: [event])
    if msi.isMaskable { try client.setIRQs(VFIOIndex.msi, .unmask, count: 1) }
    state.withLock { $0.isMSIOn = true }
  }

  private static func event(_ state: inout State, _ data: UInt16) -> Int32? {
    let message = Int(data) - 1
    guard message >= 0, message < state.events.count else { return nil }
    return state.events[message]
  }

  /// Gives the server the event descriptors of all MSI-X vectors that are not masked.
  private func apply(_ client: VFIOUserClient) throws(VFIOUserError) {
    let (before, after) = state.withLock { state -> ([Int32?], [Int32?]) in
      guard state.isMSIXOn else { return ([], []) }
      let wanted = (0..<state.words.count / 4).map { vector -> Int32? in
        guard state.words[vector * 4 + 3] & 1 == 0 else { return nil }
        return Self.event(&state, UInt16(truncatingIfNeeded: state.words[vector * 4 + 2]))
      }
      let before = state.assigned
      state.assigned = wanted
      return (before, wanted)
    }
    guard after.contains(where: { $0 != nil }), after != before else { return }
    // Vectors that are masked now and were not before: the server signals, and nobody looks.
    guard msix.isFixedSet else {
      for (vector, event) in after.enumerated() {
        guard let event, vector >= before.count || before[vector] != event else { continue }
        try client.setIRQs(
          VFIOIndex.msix, .assignEvents, first: vector, count: 1, events: [event])
        if msix.isMaskable {
          try client.setIRQs(VFIOIndex.msix, .unmask, first: vector, count: 1)
        }
      }
      return
    }
    try assignSet(client, after)
  }

  /// For servers that set up all vectors at once: off, then all up to the last one in use.
  private func assignSet(
    _ client: VFIOUserClient, _ events: [Int32?]
  ) throws(VFIOUserError) {
    try client.setIRQs(VFIOIndex.msix, .disable)
    let count = (events.lastIndex { $0 != nil } ?? 0) + 1
    // What is between them gets descriptors that nobody reads.
    var spare: [Int32] = []
    defer { for event in spare { _ = Descriptor(event) } }
    var all: [Int32] = []
    for event in events[..<count] {
      if let event {
        all.append(event)
      } else {
        let made = vfio_user_host_event_create()
        guard made >= 0 else { throw .host(call: "eventfd", code: Int(-made)) }
        spare.append(made)
        all.append(made)
      }
    }
    let most = min(max(client.capabilities.descriptorCount, 1), 64)
    var first = 0
    while first < count {
      let part = all[first..<min(first + most, count)]
      try client.setIRQs(
        VFIOIndex.msix, .assignEvents, first: first, count: part.count, events: [Int32](part))
      first += part.count
    }
  }

  /// Tells the server to send no more.
  func disable(_ client: VFIOUserClient) throws(VFIOUserError) {
    let (isMSIOn, isMSIXOn) = state.withLock { state in (state.isMSIOn, state.isMSIXOn) }
    if isMSIOn { try client.setIRQs(VFIOIndex.msi, .disable) }
    if isMSIXOn { try client.setIRQs(VFIOIndex.msix, .disable) }
  }
}
