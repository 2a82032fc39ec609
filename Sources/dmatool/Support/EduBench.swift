#if CLI
  internal import DMA
  internal import Drivers
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// A machine with an edu device on it, and the device's driver.
  struct EduBench {
    let edu: EduDevice
    let mapping: MappingBench
    /// Keeps the machine alive.
    private let machine: AnyObject

    init(
      _ kind: MachineKind, _ mapping: MappingKind = .direct,
      _ invalidation: InvalidationKind = .strict,
      memory: ByteSize, maskBitCount: Int, completion: EduDevice.Completion, seed: UInt64
    ) throws {
      let host: PCIHost
      let iommu: RegisterWindow?
      let interruptPage: ClosedRange<UInt64>?
      switch kind {
      case .simulated:
        var configuration = SimulatedMachine.Configuration()
        configuration.memoryByteCount = memory.byteCount
        configuration.seed = seed
        if mapping == .iommu { configuration.iommu = .vtd() }
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
        host = machine.pci
        (iommu, interruptPage) = (machine.iommuRegisters, nil)
      case .qemu:
        var configuration = QEMUMachine.Configuration(
          devices: [.edu(dmaMask: DMAMask(bitCount: maskBitCount))])
        configuration.memoryByteCount = memory.byteCount
        configuration.hasIOMMU = mapping == .iommu
        let machine: QEMUMachine
        do throws(QEMUError) {
          machine = try QEMUMachine(configuration)
        } catch {
          throw Failure.badInput("QEMU: \(error.description)")
        }
        self.machine = machine
        host = machine.pci
        let registers = PhysicalAddress(rawValue: 0xfed9_0000)
        iommu = mapping == .iommu ? machine.registers(at: registers, byteCount: 4096) : nil
        interruptPage = machine.interruptPage
      }
      guard let address = host.find(vendorID: 0x1234, deviceID: 0x11e8) else {
        throw Failure.failed("the machine has no edu device")
      }
      let mask = DMAMask(bitCount: maskBitCount)
      do throws(DMAError) {
        self.mapping = try MappingBench(
          mapping, invalidation, host.platform, address: address, limit: mask, iommu: iommu,
          interruptPage: interruptPage)
      } catch {
        throw Failure.failed("the \(mapping.rawValue) mapping: \(error.description)")
      }
      do throws(EduError) {
        edu = try Self.drive(host, address, self.mapping.mapping, mask, completion)
      } catch {
        throw Failure.failed(error.description)
      }
    }

    private static func drive(
      _ host: PCIHost, _ address: PCIAddress, _ mapping: DMAMapping, _ mask: DMAMask,
      _ completion: EduDevice.Completion
    ) throws(EduError) -> EduDevice {
      let device: PCIDevice
      do throws(PCIError) {
        device = try PCIDevice(host: host, address: address, mapping: mapping)
      } catch { throw .pci(error) }
      return try EduDevice(device, mask: mask, completion: completion)
    }
  }
#endif
