#if CLI
  internal import DMA
  internal import DMAMapping
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine
  internal import VFIOMachine
  internal import VFIOUserMachine

  /// A device that a verb drives, as each kind of machine has it.
  struct DevicePlan {
    /// What messages call it.
    var name: String
    var vendorID: UInt16
    var deviceID: UInt16
    /// How many address bits it has; `--mask` gives it another number.
    var maskBitCount = 64
    /// Where buffers lie when the user does not say.
    var placement = PlacementKind.low
    /// Makes the simulated one with this mask.
    var simulated: (DMAMask) throws -> SimulatedDevice
    /// QEMU's; nil where QEMU has none.
    var qemu: ((DMAMask) throws -> QEMUMachine.Device)?
    /// More of QEMU's arguments: what the device is plugged into, or what into it.
    var qemuArguments: [String] = []
  }

  /// A machine with one device on it, behind a mapping: what `MachineOptions` ask for.
  ///
  /// Everything that can go wrong has ended the verb with a message and its exit code.
  struct MachineBench {
    let device: PCIDevice
    let mapping: MappingBench
    let options: MachineOptions
    /// The watch over the device, when it is checked.
    let checking: Checking
    /// The address bits the device drives.
    let mask: DMAMask
    /// Where buffers lie.
    let placement: StreamingBuffer.Placement
    private let machine: Machine

    /// The machine itself, which lives as long as this.
    private enum Machine {
      case simulated(SimulatedMachine)
      case qemu(QEMUMachine)
      case vfio(VFIOMachine)
      case vfioUser(VFIOUserMachine)
    }

    var platform: Platform { device.dma.platform }

    /// Messages that went to QEMU, whether an answer was waited for or not; nil on other machines.
    var messageCount: Int? {
      if case .qemu(let machine) = machine { machine.commandCount } else { nil }
    }

    /// How often an answer of QEMU's was waited for; nil on other machines.
    var roundTripCount: Int? {
      if case .qemu(let machine) = machine { machine.roundTripCount } else { nil }
    }

    init(_ options: MachineOptions, _ plan: DevicePlan) throws {
      mask = DMAMask(bitCount: options.mask ?? plan.maskBitCount)
      placement = (options.placement ?? plan.placement) == .high ? .high : .below(mask)
      let host: PCIHost
      let iommu: RegisterWindow?
      var interruptPage: ClosedRange<UInt64>?
      switch options.machine {
      case .simulated:
        let machine = try Self.simulate(options, try plan.simulated(mask))
        self.machine = .simulated(machine)
        host = machine.pci
        iommu = machine.iommuRegisters
      case .qemu:
        guard let qemu = plan.qemu else { throw Failure.badInput("QEMU has no \(plan.name)") }
        let machine = try Self.startQEMU(options, try qemu(mask), plan.qemuArguments)
        self.machine = .qemu(machine)
        host = machine.pci
        interruptPage = machine.interruptPage
        let registers = PhysicalAddress(rawValue: 0xfed9_0000)
        iommu = options.mapping == .iommu ? machine.registers(at: registers, byteCount: 4096) : nil
      case .vfio(let address):
        let machine = try Self.openVFIO(options, address, mask)
        self.machine = .vfio(machine)
        mapping = MappingBench(machine)
        do throws(PCIError) {
          device = try PCIDevice(host: machine.pci, address: address, mapping: machine.mapping)
        } catch {
          throw Failure.failed(error.description)
        }
        self.options = options
        checking = Checking(options.checkOption, device.dma, on: nil)
        return
      case .vfioUser(let path):
        let machine = try Self.connect(options, path)
        self.machine = .vfioUser(machine)
        host = machine.pci
        iommu = nil
      }
      guard let address = Self.find(plan, host, options.machine) else {
        throw Failure.failed("the machine has no \(plan.name)")
      }
      do throws(DMAError) {
        mapping = try MappingBench(
          options.mapping, options.iommu, host.platform, address: address, limit: mask,
          iommu: iommu, interruptPage: interruptPage)
      } catch {
        throw Failure.failed("the \(options.mapping.rawValue) mapping: \(error.description)")
      }
      do throws(PCIError) {
        device = try PCIDevice(host: host, address: address, mapping: mapping.mapping)
      } catch {
        throw Failure.failed(error.description)
      }
      self.options = options
      let simulated: SimulatedMachine? =
        if case .simulated(let machine) = machine { machine } else { nil }
      checking = Checking(options.checkOption, device.dma, on: simulated)
    }

    private static func simulate(
      _ options: MachineOptions, _ device: SimulatedDevice
    ) throws -> SimulatedMachine {
      var configuration = SimulatedMachine.Configuration()
      configuration.memoryByteCount = options.memory.byteCount
      configuration.seed = options.seed
      if options.mapping == .iommu { configuration.iommu = .vtd() }
      do throws(SimulatedMachineError) {
        let machine = try SimulatedMachine(configuration)
        try machine.attach(device)
        return machine
      } catch {
        throw Failure.badInput("the simulated machine: \(error.description)")
      }
    }

    /// Where the device is; the only one behind a socket, whoever made it: its driver knows it.
    private static func find(
      _ plan: DevicePlan, _ host: PCIHost, _ machine: MachineKind
    ) -> PCIAddress? {
      if case .vfioUser = machine { return VFIOUserMachine.deviceAddress }
      return host.find(vendorID: plan.vendorID, deviceID: plan.deviceID)
    }

    private static func connect(
      _ options: MachineOptions, _ path: String
    ) throws -> VFIOUserMachine {
      var configuration = VFIOUserMachine.Configuration(path: path)
      configuration.memoryByteCount = options.memory.byteCount
      do throws(VFIOUserError) {
        return try VFIOUserMachine(configuration)
      } catch {
        switch error {
        case .cannotConnect, .invalidConfiguration: throw Failure.badInput(error.description)
        default: throw Failure.failed("vfio-user: \(error.description)")
        }
      }
    }

    private static func openVFIO(
      _ options: MachineOptions, _ address: PCIAddress, _ mask: DMAMask
    ) throws -> VFIOMachine {
      var configuration = VFIOMachine.Configuration()
      configuration.mode = options.mapping == .arena ? .arena : .perCall
      configuration.memoryByteCount = options.memory.byteCount
      configuration.addressLimit = mask
      do throws(VFIOError) {
        return try VFIOMachine([address], configuration)
      } catch {
        let limit = error.limit
        throw Failure.badInput(
          "cannot open \(address)\n  have: \(limit.have)\n  need: \(limit.need)\n"
            + "  fix:  \(limit.fix)")
      }
    }

    private static func startQEMU(
      _ options: MachineOptions, _ device: QEMUMachine.Device, _ arguments: [String]
    ) throws -> QEMUMachine {
      var configuration = QEMUMachine.Configuration(devices: [device])
      configuration.arguments = arguments
      configuration.memoryByteCount = options.memory.byteCount
      configuration.hasIOMMU = options.mapping == .iommu
      do throws(QEMUError) {
        return try QEMUMachine(configuration)
      } catch {
        throw Failure.badInput("QEMU: \(error.description)")
      }
    }
  }
#endif
