#if CLI
  internal import DMA
  internal import DMAMapping
  internal import Drivers
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// A machine with an edu device on it, and the device's driver.
  struct EduBench {
    let edu: EduDevice
    /// Keeps the machine alive.
    private let machine: AnyObject

    init(
      _ kind: MachineKind, memory: ByteSize, maskBitCount: Int,
      completion: EduDevice.Completion, seed: UInt64
    ) throws {
      switch kind {
      case .simulated:
        var configuration = SimulatedMachine.Configuration()
        configuration.memoryByteCount = memory.byteCount
        configuration.seed = seed
        let machine: SimulatedMachine
        do throws(SimulatedMachineError) {
          machine = try SimulatedMachine(configuration)
          var options = Edu.Configuration()
          options.mask = DMAMask(bitCount: maskBitCount).rawValue
          try machine.attach(Edu(options))
        } catch {
          throw Failure.badInput("the simulated machine: \(error.description)")
        }
        self.machine = machine
        edu = try Self.open(machine.pci, maskBitCount, completion)
      case .qemu:
        var configuration = QEMUMachine.Configuration(
          devices: [.edu(dmaMask: DMAMask(bitCount: maskBitCount))])
        configuration.memoryByteCount = memory.byteCount
        let machine: QEMUMachine
        do throws(QEMUError) {
          machine = try QEMUMachine(configuration)
        } catch {
          throw Failure.badInput("QEMU: \(error.description)")
        }
        self.machine = machine
        edu = try Self.open(machine.pci, maskBitCount, completion)
      }
    }

    private static func open(
      _ host: PCIHost, _ maskBitCount: Int, _ completion: EduDevice.Completion
    ) throws -> EduDevice {
      guard let address = host.find(vendorID: 0x1234, deviceID: 0x11e8) else {
        throw Failure.failed("the machine has no edu device")
      }
      do throws(EduError) {
        return try drive(host, address, DMAMask(bitCount: maskBitCount), completion)
      } catch {
        throw Failure.failed(error.description)
      }
    }

    private static func drive(
      _ host: PCIHost, _ address: PCIAddress, _ mask: DMAMask, _ completion: EduDevice.Completion
    ) throws(EduError) -> EduDevice {
      let device: PCIDevice
      do throws(PCIError) {
        device = try PCIDevice(
          host: host, address: address, mapping: DirectMapping.make(for: host.platform))
      } catch { throw .pci(error) }
      return try EduDevice(device, mask: mask, completion: completion)
    }
  }
#endif
