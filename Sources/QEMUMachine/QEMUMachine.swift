public import DMA
internal import MachineHost
internal import MachineMemory
public import PCI

/// A machine whose devices are QEMU's, driven from this process: no guest, no kernel, no file.
///
/// QEMU runs a q35 board with its CPU halted. Its RAM is memory of this process too, so data moves
/// without a copy; registers and configuration space are asked for over a socket (QEMU's qtest
/// protocol), 20 to 150 µs each; writes to registers are posted, as on a bus. Message interrupts
/// are stores to a page of RAM. Needs `qemu-system-x86_64`, and no privileges.
///
/// QEMU ends with `stop()`, with this object, or with this process, whichever is first, also when
/// the process is killed. When QEMU is gone, registers read as all ones, as on a bus without the
/// device, and `failure` says why. Any thread may use it.
public final class QEMUMachine: Sendable {
  /// Memory and time; time is that of QEMU's devices.
  public let platform: Platform
  /// The bus, with every BAR assigned.
  public let pci: PCIHost
  /// What QEMU's command line carries as `-name`: no other process has it.
  public let name: String
  private let deviceCount: Int
  private let host: QEMUHost
  private let tables: MachineTables

  /// Starts QEMU and assigns the devices' addresses: 0.05 to 0.5 s.
  ///
  /// - Throws: `QEMUError.notInstalled`, `.invalidConfiguration`, `.startFailed` with QEMU's own
  ///   words, `.host`, `.pci`, `.protocolViolation`, `.died`. Nothing is left running.
  public init(_ configuration: Configuration = Configuration()) throws(QEMUError) {
    let host = try QEMUHost(configuration)
    let tables = MachineTables(host)
    let platform = tables.makePlatform(
      lowestLimit: host.memory.map.lowestLimit, highestAddress: host.memory.map.highestAddress)
    let pci = tables.makePCI(platform)
    do throws(PCIError) {
      try pci.assignBARs(window: QEMUHost.barWindow)
    } catch {
      host.stop()
      throw .pci(error)
    }
    if let failure = host.failure { throw failure }
    self.host = host
    self.tables = tables
    self.platform = platform
    self.pci = pci
    name = host.name
    deviceCount = configuration.devices.count
  }

  deinit { stop() }

  /// Ends QEMU; what it wrote to its disks is in their files.
  ///
  /// At most 3 s; idempotent.
  ///
  /// Buffers stay valid; devices are gone.
  public func stop() { host.stop() }

  /// Whether the program is on the search path of the environment.
  public static var isInstalled: Bool {
    (try? QEMUExecutable.find(Configuration().executable, searchPath: nil)) != nil
  }

  /// Where a device of the configuration sits; traps when there is no such device.
  public func address(of index: Int) -> PCIAddress {
    precondition(index >= 0 && index < deviceCount, "the configuration has no such device")
    return PCIAddress(bus: 0, device: UInt8(Configuration.firstSlot + index))
  }

  /// Why QEMU is gone; nil while it runs.
  ///
  /// The first cause is kept. Does not ask QEMU.
  public var failure: QEMUError? { host.failure }

  /// QEMU's process id.
  public var processIdentifier: Int32 { host.process.identifier }

  /// The last of what QEMU itself printed: warnings, and what its devices complain about.
  ///
  /// Some models' words only come out when QEMU ends: after `stop()` all are there.
  public var diagnostics: String { host.process.diagnostics }

  /// How often anybody waited for an answer of QEMU's so far.
  public var roundTripCount: Int { host.client.roundTripCount }

  /// How many accesses QEMU was asked to do so far.
  public var commandCount: Int { host.client.commandCount }

  /// Bytes of RAM that can be allocated now.
  public var freeByteCount: UInt64 { host.pages.freeByteCount }

  /// The page where message interrupts arrive; allocations never return it.
  ///
  /// An IOMMU must let every device that interrupts write it, at this same address.
  public var interruptPage: ClosedRange<UInt64> {
    InterruptPage.physicalAddress...InterruptPage.physicalAddress
      + UInt64(InterruptPage.byteCount - 1)
  }

  /// Registers that are not behind a BAR, such as those of the VT-d unit.
  ///
  /// Valid as long as this object.
  public func registers(at address: PhysicalAddress, byteCount: Int) -> RegisterWindow {
    unsafe RegisterWindow(
      operations: UnsafePointer(host.registerOperations), context: tables.context,
      window: address.rawValue, byteCount: byteCount)
  }
}
