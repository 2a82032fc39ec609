internal import CVFIOUserHost
internal import DMA
internal import MachineHost
internal import MachineMemory
internal import PCI
internal import Synchronization

/// A server's device and the memory it may reach: what the platform and its PCI call.
///
/// Outlives `VFIOUserMachine` as long as buffers do: their memory stays, the device does not.
final class VFIOUserHost: Sendable {
  let memory: PhysicalMemory
  let pages: PageAllocator
  let client: VFIOUserClient
  let info: DeviceInfo
  let regions: [Region]
  let interrupts: Interrupts
  let bars: BaseAddresses
  let startNanoseconds = MonotonicClock.nanoseconds
  let configuration: VFIOUserMachine.Configuration
  /// What the server refused last, and how often it refused.
  let refusals = Mutex<(count: Int, last: VFIOUserError?)>((0, nil))
  /// Since when somebody waits, for `relax`.
  let pace = WaitPace(idle: 20_000_000)
  /// The pieces of memory the server was given.
  private let windows: [Window]

  /// A region, with what of it is memory of this process.
  struct Region: Sendable {
    var info: RegionInfo
    var areas: [MappedArea]
  }

  /// A piece of memory at the bus addresses that are its physical ones.
  struct Window: Sendable {
    var address: UInt64
    var byteCount: UInt64
    var objectOffset: UInt64
  }

  /// Connects, agrees, learns what the device is, and gives the server memory.
  ///
  /// - Throws: `VFIOUserError`; the connection is closed then.
  init(_ configuration: VFIOUserMachine.Configuration) throws(VFIOUserError) {
    try configuration.validate()
    self.configuration = configuration
    let map = MemoryMap(
      byteCount: configuration.memoryByteCount, lowByteCount: configuration.lowMemoryByteCount)
    let memory: PhysicalMemory
    do throws(DMAError) {
      // A server writes where it likes, and tells nobody.
      memory = try PhysicalMemory(map, isEveryWriteSeen: false)
      pages = try PageAllocator(memory)
    } catch { throw .host(call: "mmap", code: 12) }
    self.memory = memory
    let socket = unsafe vfio_user_host_connect(
      configuration.path, Int32(configuration.replyTimeoutMilliseconds))
    guard socket >= 0 else {
      throw .cannotConnect(path: configuration.path, code: Int(-socket))
    }
    let exposure = Exposure(memory, configuration.accessObserver)
    client = VFIOUserClient(
      socket: Descriptor(socket), replyMilliseconds: configuration.replyTimeoutMilliseconds,
      access: { address, isWrite, bytes in exposure.access(address, isWrite, &bytes) })
    try client.negotiate()
    (info, regions, interrupts) = try Self.ending(client) {
      client throws(VFIOUserError) -> (DeviceInfo, [Region], Interrupts) in
      let info = try client.deviceInfo()
      guard info.isPCI else { throw .notPCI }
      guard info.regionCount > VFIOIndex.configurationRegion else {
        throw .protocolViolation(.deviceInfo, .field("num_regions", UInt64(info.regionCount)))
      }
      let regions = try Self.regions(client)
      return (info, regions, try Interrupts(client, info, regions))
    }
    bars = try Self.ending(client) { [regions] client throws(VFIOUserError) in
      try BaseAddresses(client, regions)
    }
    windows = try Self.ending(client) { client throws(VFIOUserError) in
      try Self.giveMemory(client, memory, configuration, exposure)
    }
  }

  /// A failure of any kind ends the connection, so that the server lets go of everything.
  private static func ending<R>(
    _ client: VFIOUserClient, _ body: (VFIOUserClient) throws(VFIOUserError) -> R
  ) throws(VFIOUserError) -> R {
    do throws(VFIOUserError) { return try body(client) } catch {
      client.fail(error)
      throw error
    }
  }

  private static func regions(_ client: VFIOUserClient) throws(VFIOUserError) -> [Region] {
    var found: [Region] = []
    for index in 0...VFIOIndex.configurationRegion {
      let (info, descriptors) = try client.regionInfo(index)
      var areas: [MappedArea] = []
      // Where the server gives no descriptor, messages do as well.
      if info.isMappable, info.byteCount > 0, let first = descriptors.numbers.first {
        let parts = info.areas ?? [RegionInfo.Area(offset: 0, byteCount: info.byteCount)]
        for (number, part) in parts.enumerated() {
          let descriptor =
            number < descriptors.numbers.count ? descriptors.numbers[number] : first
          let (start, overflow) = info.offset.addingReportingOverflow(part.offset)
          guard !overflow,
            let area = MappedArea(
              descriptor, fileOffset: start, offset: part.offset, byteCount: part.byteCount,
              isWritable: info.isWritable)
          else { continue }
          areas.append(area)
        }
      }
      found.append(Region(info: info, areas: areas))
    }
    return found
  }

  /// Tells the server of all RAM.
  private static func giveMemory(
    _ client: VFIOUserClient, _ memory: PhysicalMemory,
    _ configuration: VFIOUserMachine.Configuration, _ exposure: Exposure
  ) throws(VFIOUserError) -> [Window] {
    let pageSizes = client.capabilities.pageSizes
    let granule = UInt64(1) << UInt64(pageSizes.trailingZeroBitCount)
    var given: [Window] = []
    for range in [memory.map.low, memory.map.high] where !range.isEmpty {
      guard range.lowerBound % granule == 0, UInt64(range.count) % granule == 0 else {
        throw .unsupportedPageSizes(pageSizes)
      }
      let window = Window(
        address: range.lowerBound, byteCount: UInt64(range.count),
        objectOffset: memory.map.objectOffset(of: range.lowerBound))
      // Before the message: the server may use it at once.
      exposure.add(range)
      try client.mapMemory(
        window.address, byteCount: window.byteCount,
        descriptor: configuration.memoryAccess == .shared ? memory.object : nil,
        offset: window.objectOffset)
      given.append(window)
    }
    return given
  }

  /// Takes memory and interrupts back, as far as the server still listens, and ends it.
  func stop() {
    if client.failure == nil {
      do throws(VFIOUserError) {
        try interrupts.disable(client)
        for window in windows {
          try client.unmapMemory(window.address, byteCount: window.byteCount)
        }
      } catch {
        // It is being left anyway.
      }
    }
    client.fail(.stopped)
  }

  /// What became of an access to registers or interrupts that has no way to say so.
  func note(_ error: VFIOUserError) {
    if case .refused = error {
      refusals.withLock { $0 = ($0.count + 1, error) }
    } else {
      client.fail(error)
    }
  }
}

/// Memory that a server asks for by messages.
private final class Exposure: Sendable {
  private let memory: PhysicalMemory
  private let observer: (@Sendable (VFIOUserMachine.Access) -> Void)?
  private let ranges = Mutex<[Range<UInt64>]>([])

  init(_ memory: PhysicalMemory, _ observer: (@Sendable (VFIOUserMachine.Access) -> Void)?) {
    self.memory = memory
    self.observer = observer
  }

  func add(_ range: Range<UInt64>) { ranges.withLock { $0.append(range) } }

  /// Copies between memory and a message; gives 0 or an errno.
  func access(_ address: UInt64, _ isWrite: Bool, _ bytes: inout [UInt8]) -> UInt32 {
    let count = UInt64(bytes.count)
    let isThere = ranges.withLock { ranges in
      ranges.contains { $0.contains(address) && count <= $0.upperBound - address }
    }
    observer?(
      VFIOUserMachine.Access(
        address: DMAAddress(rawValue: address), byteCount: bytes.count, isWrite: isWrite,
        isRefused: !isThere))
    // EFAULT: nothing was given to the server there.
    guard isThere else { return 14 }
    guard count > 0 else { return 0 }
    let place = memory.deviceAddress(address)
    // What is copied comes after all that drivers stored, and before all that they load.
    DMABarrier.full()
    // SAFETY: the range is RAM, which lives as long as this object.
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: place) else { return }
      let ram = unsafe UnsafeMutableRawBufferPointer(start: pointer, count: buffer.count)
      if isWrite {
        unsafe ram.copyMemory(from: UnsafeRawBufferPointer(buffer))
      } else {
        unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(ram))
      }
    }
    DMABarrier.full()
    return 0
  }
}
