#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// `dmatool usb`: what is plugged into a USB controller.
  struct USBCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "usb", abstract: "Drives USB controllers of the OHCI kind.",
      subcommands: [USBListCommand.self])
  }

  /// `dmatool usb list`: the descriptors of every device.
  struct USBListCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "list",
      abstract: "Reads the descriptors of what is plugged into an OHCI controller.",
      discussion: """
        Queue heads and transfer descriptors are blocks of DMA pools. On QEMU --plug says what is \
        plugged in, as QEMU's -device takes it, such as usb-kbd; a tablet and a mouse when left out.
        Exit code: 0 everything was read, 1 something was not, 2 bad input.
        """)

    @Option(help: "On QEMU: a device to plug in; may be repeated.")
    var plug: [String] = []

    @OptionGroup(title: "Machine and mapping") var options: MachineOptions

    /// A device's descriptors as text and bytes.
    private struct Found {
      var port: Int
      var isLowSpeed: Bool
      var descriptor: USBDeviceDescriptor
      var configuration: [UInt8]
      var manufacturer: String?
      var product: String?
      var serialNumber: String?
    }

    func validate() throws {
      guard plug.count <= 15 else {
        throw ValidationError("--plug: a controller has at most 15 ports, not \(plug.count)")
      }
    }

    func drive() throws -> Checking {
      let machine = try MachineBench(options, plan)
      let counter = EventCounter()
      machine.checking.add(counter.observer)
      report(machine, try list(machine), counter.counts)
      return machine.checking
    }

    /// The driver has ended when it returns.
    private func list(_ machine: MachineBench) throws -> [Found] {
      do throws(USBError) {
        let controller = try OHCIController(machine.device)
        var found: [Found] = []
        for port in 1...controller.portCount where controller.isConnected(port: port) {
          found.append(try read(controller, port))
        }
        return found
      } catch {
        throw Failure.failed(error.description)
      }
    }

    private func read(_ controller: OHCIController, _ port: Int) throws(USBError) -> Found {
      let device = try USBDevice(controller, port: port)
      return Found(
        port: port, isLowSpeed: device.isLowSpeed, descriptor: device.descriptor,
        configuration: try device.configuration(),
        manufacturer: try device.string(device.descriptor.manufacturerIndex),
        product: try device.string(device.descriptor.productIndex),
        serialNumber: try device.string(device.descriptor.serialNumberIndex))
    }

    private var plan: DevicePlan {
      let plugged = plug.isEmpty ? ["usb-tablet", "usb-mouse"] : plug
      return DevicePlan(
        name: "OHCI controller", vendorID: 0x106b, deviceID: 0x003f, maskBitCount: 32,
        simulated: { _ in
          throw Failure.badInput("the simulated machine has no USB: take --machine qemu")
        },
        qemu: { _ in .other("pci-ohci,id=usb,num-ports=\(max(3, plugged.count))") },
        qemuArguments: plugged.flatMap { ["-device", "\($0),bus=usb.0"] })
    }

    private func report(
      _ machine: MachineBench, _ found: [Found], _ counts: EventCounter.Counts
    ) {
      switch options.format {
      case .text:
        for device in found { print(text(device)) }
        print(
          "\(found.count) devices; \(counts.maps) maps, \(counts.unmaps) unmaps, mapping "
            + "\(options.mapping.rawValue)\(machine.mapping.summary(of: options.mapping))")
      case .json:
        for device in found { print(json(device)) }
      }
    }

    private func text(_ device: Found) -> String {
      let names = [device.manufacturer, device.product].compactMap { $0 }.joined(separator: ", ")
      return """
        port \(device.port): \(Self.hex(device.descriptor.vendorID)):\
        \(Self.hex(device.descriptor.productID)) \(names), \
        \(device.isLowSpeed ? "1.5" : "12") Mbit/s\
        \(device.serialNumber.map { ", serial number \($0)" } ?? "")
          device         \(Self.dump(device.descriptor.bytes))
          configuration  \(Self.dump(device.configuration))
        """
    }

    private func json(_ device: Found) -> String {
      "{\"port\":\(device.port),\"vendor\":\"\(Self.hex(device.descriptor.vendorID))\","
        + "\"product\":\"\(Self.hex(device.descriptor.productID))\","
        + "\"manufacturer_name\":\(Output.quoted(device.manufacturer ?? "")),"
        + "\"product_name\":\(Output.quoted(device.product ?? "")),"
        + "\"serial_number\":\(Output.quoted(device.serialNumber ?? "")),"
        + "\"device\":\"\(Self.dump(device.descriptor.bytes))\","
        + "\"configuration\":\"\(Self.dump(device.configuration))\"}"
    }

    private static func hex(_ value: UInt16) -> String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }

    private static func dump(_ bytes: [UInt8]) -> String {
      bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.utf8.count == 1 ? "0" + digits : digits
      }.joined(separator: " ")
    }
  }
#endif
