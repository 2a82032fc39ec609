#if CLI
  internal import DMA
  internal import DMAMapping
  internal import Drivers
  internal import Glibc
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// A machine with an NVMe controller on it, and the controller's driver.
  struct NVMeBench {
    let nvme: NVMeDevice
    let namespace: NVMeNamespace
    let mapping: MappingBench
    private let simulated: SimulatedMachine?
    private let qemu: QEMUMachine?

    var platform: Platform { nvme.device.dma.platform }
    var queue: NVMeQueue { nvme.queues[0] }

    /// Messages that went to QEMU, whether an answer was waited for or not; nil on other machines.
    var messageCount: Int? { qemu?.commandCount }

    /// What the controller tried and memory refused.
    var incidents: [BusIncident] { simulated?.takeIncidents() ?? [] }

    /// - Parameters:
    ///   - isReadOnly: whether the verb leaves the image as it is.
    ///
    ///   - disk: size of a disk in memory, for when there is no image.
    init(_ options: NVMeOptions, isReadOnly: Bool, disk: ByteSize? = nil) throws {
      let host: PCIHost
      let iommu: RegisterWindow?
      switch options.machine {
      case .simulated:
        let machine = try Self.simulate(options, isReadOnly: isReadOnly, disk: disk)
        (simulated, qemu) = (machine, nil)
        host = machine.pci
        iommu = machine.iommuRegisters
      case .qemu:
        let machine = try Self.startQEMU(options, isReadOnly: isReadOnly)
        (simulated, qemu) = (nil, machine)
        host = machine.pci
        iommu =
          options.mapping == .iommu
          ? machine.registers(at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096) : nil
      }
      guard let address = host.find(vendorID: 0x1b36, deviceID: 0x0010) else {
        throw Failure.failed("the machine has no NVMe controller")
      }
      do throws(DMAError) {
        mapping = try MappingBench(
          options.mapping, options.iommu, host.platform, address: address,
          limit: DMAMask(bitCount: options.mask), iommu: iommu,
          interruptPage: qemu?.interruptPage)
      } catch {
        throw Failure.failed("the \(options.mapping.rawValue) mapping: \(error.description)")
      }
      do throws(NVMeError) {
        nvme = try Self.open(host, address, mapping.mapping, options)
        namespace = try nvme.namespace()
      } catch {
        throw Failure.failed(error.description)
      }
    }

    private static func open(
      _ host: PCIHost, _ address: PCIAddress, _ mapping: DMAMapping, _ options: NVMeOptions
    ) throws(NVMeError) -> NVMeDevice {
      let device: PCIDevice
      do throws(PCIError) {
        device = try PCIDevice(host: host, address: address, mapping: mapping)
      } catch { throw .pci(error) }
      var driver = NVMeDevice.Options()
      driver.mask = DMAMask(bitCount: options.mask)
      driver.queueCapacity = options.depth
      driver.completion = options.interrupt ? .interrupt : .polling
      // A write to QEMU's doorbells is a message to another process: fewer of them.
      if options.machine == .qemu { driver.doorbellBatch = max(1, options.depth / 2) }
      return try NVMeDevice(device, options: driver)
    }

    private static func simulate(
      _ options: NVMeOptions, isReadOnly: Bool, disk: ByteSize?
    ) throws -> SimulatedMachine {
      let storage: NVMeStorage
      if let path = options.image {
        do throws(NVMeImageError) {
          storage = try NVMeImage(path: path, isReadOnly: isReadOnly || options.readOnly)
        } catch {
          throw Failure.badInput("\(path): \(error.description)")
        }
      } else {
        guard let disk else {
          throw Failure.badInput("--image is missing: a file that holds the disk")
        }
        do throws(SimulatedMachineError) {
          storage = try NVMeMemory(zeroes: disk.byteCount)
        } catch {
          throw Failure.failed("a disk of \(disk): \(error.description)")
        }
      }
      var configuration = SimulatedMachine.Configuration()
      configuration.memoryByteCount = options.memory.byteCount
      configuration.seed = options.seed
      if options.mapping == .iommu { configuration.iommu = .vtd() }
      do throws(SimulatedMachineError) {
        let machine = try SimulatedMachine(configuration)
        var controller = NVMeController.Configuration()
        controller.mask = DMAMask(bitCount: options.mask).rawValue
        try machine.attach(NVMeController(storage, controller))
        return machine
      } catch {
        throw Failure.badInput("the simulated machine: \(error.description)")
      }
    }

    private static func startQEMU(
      _ options: NVMeOptions, isReadOnly: Bool
    ) throws -> QEMUMachine {
      guard let path = options.image else {
        throw Failure.badInput("--image is missing: a file that holds the disk")
      }
      // QEMU would say so too, but in words of its own and later.
      do throws(NVMeImageError) {
        _ = try NVMeImage(path: path, isReadOnly: isReadOnly || options.readOnly)
      } catch {
        throw Failure.badInput("\(path): \(error.description)")
      }
      var configuration = QEMUMachine.Configuration(
        devices: [.nvme(image: path, isReadOnly: isReadOnly || options.readOnly)])
      configuration.memoryByteCount = options.memory.byteCount
      configuration.hasIOMMU = options.mapping == .iommu
      do throws(QEMUError) {
        return try QEMUMachine(configuration)
      } catch {
        throw Failure.badInput("QEMU: \(error.description)")
      }
    }
  }

  /// Nanoseconds of the host's clocks.
  enum HostClock {
    /// As they pass.
    static var nanoseconds: UInt64 { read(CLOCK_MONOTONIC) }
    /// As this process uses processors.
    static var processorNanoseconds: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
      var time = timespec()
      // SAFETY: clock_gettime fills the struct it is given.
      _ = unsafe clock_gettime(clock, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
  }
#endif
