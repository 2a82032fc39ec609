internal import DMA
public import PCI

/// A driver for USB controllers of the OHCI kind, which live on pools.
///
/// The controller works through queue heads and transfer descriptors of 16 bytes in memory, which
/// it also writes: blocks of two pools, next to a communication area from a third (R55-R58). Data
/// moves through streaming mappings. This driver makes control transfers: enough to find out what
/// is plugged in. Calls wait for the device, so none may be made in an interrupt or with a spin lock
/// held; not for several threads at once. When the object goes, the controller is reset and all
/// memory comes back.
public final class OHCIController {
  /// How long a transfer may take: devices have 5 s for a request with data (USB 2.0, 9.2.6.4),
  /// working ones need milliseconds.
  static var transferMilliseconds: Int { 2000 }
  static var resetMilliseconds: Int { 200 }
  /// A transfer descriptor reaches two pages.
  public static var transferByteCountMax: Int { 4096 }

  /// The function it drives.
  public let device: PCIDevice
  /// How many ports the root hub has.
  public let portCount: Int
  let registers: RegisterWindow
  /// The communication area, alone.
  let areas: BlockSlots
  /// One queue head a port, linked from the start and never taken off.
  let endpoints: BlockSlots
  /// The descriptor at which each queue ends: the next transfer begins in it.
  let tails: BlockSlots
  private let areaPool: DMAPool
  private let endpointPool: DMAPool
  let transferPool: DMAPool
  let requestPool: DMAPool
  /// The controller was stopped: nothing works any more.
  var isStopped = false

  /// Takes the controller over and powers its ports.
  ///
  /// - Throws: `USBError.notOHCI`, `.notReady`, `.pci`, `.dma`. A retry can help after `.notReady`.
  public init(_ device: PCIDevice) throws(USBError) {
    // Serial bus, USB, OHCI.
    guard device.classCode == 0x0c0310 else { throw .notOHCI(classCode: device.classCode) }
    self.device = device
    let registers: RegisterWindow
    do throws(PCIError) { registers = try device.mapBAR(0) } catch { throw .pci(error) }
    self.registers = registers
    try Self.reset(registers, device.dma.platform)
    // Bits 7:0 of HcRhDescriptorA: at most 15 ports.
    let ports = Int(registers.read(UInt32.self, at: OHCIRegister.rootHubA) & 0xff)
    portCount = min(max(ports, 1), 15)
    do throws(DMAError) {
      try device.dma.setMask(.bits32)
      areaPool = try DMAPool(
        name: "ohci-area", blockSize: OHCICommunicationArea.byteCount,
        alignment: OHCICommunicationArea.byteCount, for: device.dma)
      endpointPool = try DMAPool(
        name: "ohci-endpoints", blockSize: OHCIEndpoint.byteCount,
        alignment: OHCIEndpoint.byteCount, for: device.dma)
      transferPool = try DMAPool(
        name: "ohci-transfers", blockSize: OHCITransfer.byteCount,
        alignment: OHCITransfer.byteCount, for: device.dma)
      requestPool = try DMAPool(
        name: "ohci-requests", blockSize: USBRequest.wireByteCount,
        alignment: USBRequest.wireByteCount, for: device.dma)
      areas = BlockSlots(count: 1)
      endpoints = BlockSlots(count: portCount)
      tails = BlockSlots(count: portCount)
      areas.put(try areaPool.allocateZeroed(), at: 0)
      try Self.link(endpoints, tails, endpointPool, transferPool)
    } catch { throw .dma(error) }
    start()
  }

  deinit {
    // Reset stops the controller; off the bus it reads and writes no block any more.
    registers.write(0 as UInt32, at: OHCIRegister.control)
    registers.write(OHCICommand.reset, at: OHCIRegister.commandStatus)
    device.disableBusMastering()
    // Before their pools end.
    areas.drain()
    endpoints.drain()
    tails.drain()
  }

  // MARK: Setting up

  private static func reset(
    _ registers: RegisterWindow, _ platform: Platform
  ) throws(USBError) {
    registers.write(UInt32.max, at: OHCIRegister.interruptDisable)
    registers.write(OHCICommand.reset, at: OHCIRegister.commandStatus)
    do throws(DMAError) {
      try platform.wait(nanoseconds: UInt64(resetMilliseconds) * 1_000_000) {
        registers.read(UInt32.self, at: OHCIRegister.commandStatus) & OHCICommand.reset == 0
      }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .notReady(milliseconds: resetMilliseconds)
    }
    // The revision of the specification: 1.0.
    guard registers.read(UInt32.self, at: OHCIRegister.revision) & 0xff == 0x10 else {
      throw .notReady(milliseconds: 0)
    }
  }

  /// Makes a list of queue heads, one a port, each with an empty queue.
  private static func link(
    _ endpoints: borrowing BlockSlots, _ tails: borrowing BlockSlots, _ endpointPool: DMAPool,
    _ transferPool: DMAPool
  ) throws(DMAError) {
    var next: UInt32 = 0
    for port in (0..<endpoints.count).reversed() {
      let endpoint = try endpointPool.allocateZeroed()
      let tail = try transferPool.allocateZeroed()
      endpoint[OHCIEndpoint.tail, as: UInt32.self] = busAddress(tail)
      endpoint[OHCIEndpoint.head, as: UInt32.self] = busAddress(tail)
      endpoint[OHCIEndpoint.next, as: UInt32.self] = next
      next = busAddress(endpoint)
      endpoints.put(endpoint, at: port)
      tails.put(tail, at: port)
    }
  }

  /// The mask is 32 bits, so every block's address is.
  static func busAddress(_ block: borrowing DMAPoolBlock) -> UInt32 {
    UInt32(truncatingIfNeeded: block.address.rawValue)
  }

  private func start() {
    areas.with(0) { area in
      registers.write(Self.busAddress(area), at: OHCIRegister.communicationArea)
    }
    endpoints.with(0) { endpoint in
      registers.write(Self.busAddress(endpoint), at: OHCIRegister.controlHead)
    }
    registers.write(0 as UInt32, at: OHCIRegister.controlCurrent)
    registers.write(0 as UInt32, at: OHCIRegister.bulkHead)
    // 12000 bit times a frame, at most 10104 of them for one packet (section 5.4), and 90 % of
    // the frame for periodic transfers. The toggle tells the controller that it has changed.
    registers.write(
      1 << 31 | 0x2778 << 16 | 0x2edf as UInt32, at: OHCIRegister.frameInterval)
    registers.write(0x2a2f as UInt32, at: OHCIRegister.periodicStart)
    device.enableBusMastering()
    registers.write(
      OHCIControl.operational | OHCIControl.controlList, at: OHCIRegister.control)
    // Power to all ports, whether they are switched together or one by one.
    registers.write(1 << 16 as UInt32, at: OHCIRegister.rootHubStatus)
    for port in 0..<portCount {
      registers.write(OHCIPort.powerOn, at: OHCIRegister.port(port))
    }
  }

  // MARK: Ports

  /// Whether something is plugged into a port, counted from 1.
  public func isConnected(port: Int) -> Bool {
    status(port) & OHCIPort.isConnected != 0
  }

  /// Whether what is plugged in runs at 1.5 Mbit/s instead of 12.
  public func isLowSpeed(port: Int) -> Bool {
    status(port) & OHCIPort.isLowSpeed != 0
  }

  private func status(_ port: Int) -> UInt32 {
    precondition(port >= 1 && port <= portCount, "the hub has no such port")
    return registers.read(at: OHCIRegister.port(port - 1))
  }

  /// Resets a port and what is plugged in: it answers at address 0 then.
  ///
  /// - Throws: `USBError.nothingConnected`, `.portNotEnabled`.
  func resetPort(_ port: Int) throws(USBError) {
    guard isConnected(port: port) else { throw .nothingConnected(port: port) }
    let register = OHCIRegister.port(port - 1)
    registers.write(OHCIPort.connectChanged | OHCIPort.resetChanged, at: register)
    registers.write(OHCIPort.startReset, at: register)
    do throws(DMAError) {
      try device.dma.platform.wait(nanoseconds: UInt64(Self.resetMilliseconds) * 1_000_000) {
        let status = self.status(port)
        return status & OHCIPort.isResetting == 0 && status & OHCIPort.isEnabled != 0
      }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .portNotEnabled(port: port)
    }
    registers.write(OHCIPort.resetChanged, at: register)
    // The device has 10 ms to recover (USB 2.0, 7.1.7.5).
    try pause(milliseconds: 10)
  }

  func pause(milliseconds: UInt64) throws(USBError) {
    do throws(DMAError) {
      try device.dma.platform.wait(nanoseconds: milliseconds * 1_000_000) { false }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
    }
  }

  /// Whom a port's queue head talks to; only while its queue is empty.
  func setEndpoint(port: Int, address: UInt8, packetByteCount: Int) {
    let isLowSpeed = isLowSpeed(port: port)
    endpoints.with(port - 1) { endpoint in
      endpoint[OHCIEndpoint.information, as: UInt32.self] = OHCIEndpoint.information(
        address: address, isLowSpeed: isLowSpeed, packetByteCount: packetByteCount)
    }
  }
}
