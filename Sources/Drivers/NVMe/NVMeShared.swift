internal import DMA
internal import PCI
internal import Synchronization

/// What a controller's queues have in common, kept until the last of them goes.
final class NVMeShared {
  let device: PCIDevice
  let registers: RegisterWindow
  let capabilities: NVMeCapabilities
  let pools: NVMePools
  let timeoutMilliseconds: Int
  private let stopped = Atomic<Bool>(false)

  init(_ device: PCIDevice, _ options: NVMeDevice.Options) throws(NVMeError) {
    guard device.classCode == 0x01_0802 else { throw .notNVMe(classCode: device.classCode) }
    self.device = device
    timeoutMilliseconds = options.timeoutMilliseconds
    do throws(PCIError) { registers = try device.mapBAR(0) } catch { throw .pci(error) }
    capabilities = NVMeCapabilities(
      rawValue: registers.read(UInt64.self, at: NVMeRegister.capabilities))
    guard capabilities.rawValue != .max else { throw .gone }
    guard capabilities.hasNVMCommands,
      capabilities.smallestPageByteCount == NVMePage.byteCount
    else { throw .unsupported(capabilities: capabilities.rawValue) }
    do throws(DMAError) {
      try device.dma.setMask(options.mask)
      // Lists need memory to keep its place in its page, and nothing else matters to the engine.
      device.dma.constraints = try DMAConstraints(
        segmentByteCountMax: options.transferByteCountMax, segmentBoundaryMask: .max,
        minimumAlignmentMask: NVMePage.mask)
      pools = try NVMePools(device.dma)
    } catch { throw .dma(error) }
  }

  var platform: Platform { device.dma.platform }

  /// Relaxed is enough: whoever stops the controller makes memory safe first, and others only
  /// need to learn of it some time.
  var isStopped: Bool { stopped.load(ordering: .relaxed) }

  var status: UInt32 { registers.read(at: NVMeRegister.status) }

  /// Takes the controller off memory, whatever it is doing: it does not get to answer.
  ///
  /// After it returns all memory is safe from it, even if it does not heed its own registers.
  func stop() {
    guard !stopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
    let configuration: UInt32 = registers.read(at: NVMeRegister.configuration)
    registers.write(
      configuration & ~NVMeConfiguration.isEnabled, at: NVMeRegister.configuration)
    device.disableBusMastering()
  }

  /// Why nothing comes, when a wait was in vain; stops the controller.
  func stopAfterTimeout() -> NVMeError {
    let status = self.status
    stop()
    if status == .max { return .gone }
    if status & NVMeControllerStatus.fatal != 0 { return .died }
    return .timedOut(milliseconds: timeoutMilliseconds)
  }

  /// Waits for bits of the status register.
  func waitForStatus(_ mask: UInt32, _ value: UInt32) throws(NVMeError) {
    let limit = min(timeoutMilliseconds, max(capabilities.readyMilliseconds, 500))
    var last: UInt32 = 0
    do throws(DMAError) {
      try platform.wait(nanoseconds: UInt64(limit) * 1_000_000) {
        last = status
        return last & mask == value || last & NVMeControllerStatus.fatal != 0
      }
    } catch {
      guard error == .timedOut else { throw .dma(error) }
      throw .notReady(milliseconds: limit)
    }
    guard last != .max else { throw .gone }
    guard last & mask == value else { throw .died }
  }
}
