public import DMA
internal import MachineHost
internal import MachineMemory
public import PCI
internal import Synchronization

/// A machine whose one device is served over a UNIX socket by another program (vfio-user).
///
/// The server may be anything that speaks the protocol: QEMU's device models, SPDK, libvfio-user's
/// samples. RAM is memory of this process; the server maps it, or asks for each access. Registers
/// are messages, or memory where the server shares them; message interrupts are event descriptors.
/// Bus addresses are physical ones.
///
/// Nothing the server does can hurt this process, except that it writes to shared memory what and
/// where it likes. When it is gone or breaks the protocol, registers read as all ones, as on a bus
/// without the device, and `failure` says why. Any thread may use it.
public final class VFIOUserMachine: Sendable {
  /// Memory and time.
  public let platform: Platform
  /// The bus, with every BAR assigned.
  public let pci: PCIHost
  private let host: VFIOUserHost

  /// Where the device sits.
  public static var deviceAddress: PCIAddress { PCIAddress(bus: 0, device: 0) }

  /// Connects to a server, agrees with it, and gives it the machine's memory.
  ///
  /// - Throws: `VFIOUserError`; the connection is closed then.
  public init(_ configuration: Configuration) throws(VFIOUserError) {
    let host = try VFIOUserHost(configuration)
    self.host = host
    let tables = MachineTables(host)
    platform = tables.makePlatform(
      lowestLimit: host.memory.map.lowestLimit, highestAddress: host.memory.map.highestAddress)
    pci = tables.makePCI(platform)
    do throws(PCIError) {
      try pci.assignBARs(window: VFIOUserHost.barWindow)
    } catch {
      host.stop()
      throw .pci(error)
    }
    if let failure = host.client.failure { throw failure }
  }

  deinit { stop() }

  /// Takes memory and interrupts back from the server and ends the connection.
  ///
  /// Idempotent. Buffers stay valid; the device is gone.
  public func stop() { host.stop() }

  /// Resets the device.
  ///
  /// - Throws: `VFIOUserError.noReset`, `.refused`, and what ends the connection.
  public func reset() throws(VFIOUserError) {
    guard host.info.hasReset else { throw .noReset }
    try host.client.reset(milliseconds: host.configuration.resetTimeoutMilliseconds)
  }

  /// Why the device is gone; nil while it is not.
  public var failure: VFIOUserError? { host.client.failure }

  /// How many accesses to registers or interrupts the server refused.
  ///
  /// Such a read is all ones, such a write does nothing; `lastRefusal` says what the last one was.
  public var refusalCount: Int { host.refusals.withLock { $0.count } }

  /// What the server refused last.
  public var lastRefusal: VFIOUserError? { host.refusals.withLock { $0.last } }

  /// How many messages were sent and received so far.
  public var messageCount: Int { host.client.messageCount }

  /// Whether a register is reached without a message: the server shares it.
  public func isMapped(bar index: Int, offset: Int, byteCount: Int = 4) -> Bool {
    guard index >= 0, index < 6, offset >= 0,
      host.interrupts.tableOffset(
        index, UInt64(offset), byteCount) == nil
    else { return false }
    return host.regions[index].areas.contains {
      $0.address(of: UInt64(offset), byteCount) != nil
    }
  }

  /// Bytes of RAM that can be allocated now.
  public var freeByteCount: UInt64 { host.pages.freeByteCount }
}
