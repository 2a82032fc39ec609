#if CLI
  internal import DMA
  internal import Drivers
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// A machine with an edu device on it, and the device's driver.
  struct EduBench {
    let edu: EduDevice
    let machine: MachineBench

    var mapping: MappingBench { machine.mapping }

    init(_ options: MachineOptions) throws {
      machine = try MachineBench(options, Self.plan)
      do throws(EduError) {
        edu = try EduDevice(
          machine.device, mask: machine.mask,
          completion: options.interrupt ? .interrupt : .polling)
      } catch {
        throw Failure.failed(error.description)
      }
    }

    private static var plan: DevicePlan {
      DevicePlan(
        name: "edu device", vendorID: 0x1234, deviceID: 0x11e8,
        maskBitCount: EduDevice.defaultMask.bitCount,
        simulated: { mask in
          var options = Edu.Configuration()
          options.mask = mask.rawValue
          return Edu(options)
        },
        qemu: { mask in .edu(dmaMask: mask) })
    }
  }
#endif
