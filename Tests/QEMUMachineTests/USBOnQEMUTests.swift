import DMA
import DMAChecker
import DMAMapping
import Drivers
import Glibc
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  /// The OHCI driver on QEMU's `pci-ohci`, with QEMU's USB devices.
  @Suite(.needsQEMU)
  struct USBOnQEMUTests {
    /// A folder of its own, gone with the test.
    final class Folder {
      let path: String

      init() throws {
        var name = Array("/tmp/usb-test-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
        let made = unsafe name.withUnsafeMutableBufferPointer { buffer in
          unsafe buffer.baseAddress.map { unsafe mkdtemp($0) } ?? nil
        }
        try #require(unsafe made != nil)
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }

      deinit {
        for name in folder(path) { unsafe unlink("\(path)/\(name)") }
        unsafe rmdir(path)
      }
    }

    private func configuration(_ folder: Folder) -> QEMUMachine.Configuration {
      var configuration = QEMUMachine.Configuration(devices: [.other("pci-ohci,id=usb")])
      configuration.arguments = [
        "-device", "usb-tablet,bus=usb.0,port=1,pcap=\(folder.path)/tablet",
        "-blockdev", "driver=null-co,node-name=stick,size=1048576",
        "-device", "usb-storage,bus=usb.0,port=2,drive=stick,pcap=\(folder.path)/stick",
      ]
      return configuration
    }

    /// What the driver read, by the request it made.
    private struct Reading {
      var request: USBRequest
      var bytes: [UInt8]

      /// The request as it goes over the wire (USB 2.0, table 9-2).
      var wire: [UInt8] {
        [request.type, request.request]
          + [request.value, request.index, request.byteCount].flatMap {
            [UInt8($0 & 255), UInt8($0 >> 8)]
          }
      }
    }

    @Test(arguments: QEMUMapping.allCases)
    func `R55 descriptors equal what the devices report, with queue heads from pools`(
      _ mapping: QEMUMapping
    ) throws {
      let folder = try Folder()
      let bench = try CheckedDevice(mapping, configuration(folder))
      var readings: [(file: String, Reading)] = []
      do {
        let controller = try OHCIController(bench.device)
        #expect(controller.portCount == 3)
        #expect(bench.device.dma.poolInfo?.contains("ohci-endpoints") == true)
        let tablet = try USBDevice(controller, port: 1)
        readings += try read(tablet).map { ("tablet", $0) }
        try expectTablet(tablet)
        let stick = try USBDevice(controller, port: 2)
        readings += try read(stick).map { ("stick", $0) }
        #expect(stick.descriptor.vendorID == 0x46f4 && stick.descriptor.productID == 1)
        #expect(try stick.string(stick.descriptor.productIndex) == "QEMU USB HARDDRIVE")
        // Its one interface: mass storage, SCSI, bulk only.
        #expect(try [UInt8](stick.configuration()[14...16]) == [8, 6, 0x50])
        // The other one still answers.
        #expect(
          try tablet.read(.descriptor(type: 1, byteCount: 18)) == tablet.descriptor.bytes)
        #expect(throws: USBError.nothingConnected(port: 3)) {
          _ = try USBDevice(controller, port: 3)
        }
      }
      #expect(bench.finish().map(\.rule) == [])
      let hasLostFaults = bench.unit?.takeFaults { Issue.record("\($0)") }
      #expect(hasLostFaults != true)
      // QEMU writes its records out when it ends.
      bench.machine.stop()
      #expect(readings.count == 12)
      let captures = [
        "tablet": try #require(USBCapture(path: "\(folder.path)/tablet")),
        "stick": try #require(USBCapture(path: "\(folder.path)/stick")),
      ]
      for (file, reading) in readings {
        let answer = try #require(captures[file]?.answer(to: reading.wire))
        #expect(!reading.bytes.isEmpty)
        #expect(reading.bytes == answer, "\(file): request \(reading.wire)")
      }
    }

    /// Everything a device says about itself, as raw bytes.
    private func read(_ device: USBDevice) throws -> [Reading] {
      let total = UInt16(try device.configuration().count)
      let requests: [USBRequest] = [
        .descriptor(type: 1, byteCount: 18),
        .descriptor(type: 2, byteCount: total),
        // Less than there is: the device stops where it is told to.
        .descriptor(type: 2, byteCount: 20),
        .descriptor(type: 3, byteCount: 255),
        .descriptor(
          type: 3, index: device.descriptor.manufacturerIndex, language: 0x409, byteCount: 255),
        .descriptor(
          type: 3, index: device.descriptor.serialNumberIndex, language: 0x409, byteCount: 255),
      ]
      return try requests.map { Reading(request: $0, bytes: try device.read($0)) }
    }

    private func expectTablet(_ tablet: USBDevice) throws {
      #expect(!tablet.isLowSpeed)
      #expect(tablet.descriptor.vendorID == 0x0627 && tablet.descriptor.productID == 1)
      #expect(tablet.descriptor.configurationCount == 1)
      #expect(try tablet.languages() == [0x0409])
      #expect(try tablet.string(tablet.descriptor.manufacturerIndex) == "QEMU")
      #expect(try tablet.string(tablet.descriptor.productIndex) == "QEMU USB Tablet")
      let configuration = try tablet.configuration()
      // Interface 0: human interface device; its own descriptor says how long its report's is.
      #expect(configuration[9...11] == [9, 4, 0] && configuration[14] == 3)
      #expect(configuration[19] == 0x21 && configuration[24] == 0x22)
      let length = UInt16(configuration[25]) | UInt16(configuration[26]) << 8
      let report = try tablet.read(
        .interfaceDescriptor(type: 0x22, interface: 0, byteCount: length))
      // Usage page generic desktop; the last byte ends the collection.
      #expect(report.count == Int(length) && report[...1] == [5, 1] && report.last == 0xc0)
      // More is asked for than there is.
      #expect(
        try tablet.read(.interfaceDescriptor(type: 0x22, interface: 0, byteCount: 4096)) == report)
    }

    @Test func `a request that a device does not know stalls, and the next one works`() throws {
      let folder = try Folder()
      let bench = try CheckedDevice(.direct, configuration(folder))
      do {
        let controller = try OHCIController(bench.device)
        let tablet = try USBDevice(controller, port: 1)
        for _ in 0..<3 {
          #expect(throws: USBError.stalled) {
            _ = try tablet.read(.descriptor(type: 0x77, byteCount: 64))
          }
          #expect(try tablet.string(tablet.descriptor.productIndex) == "QEMU USB Tablet")
        }
        #expect(throws: USBError.tooLong(byteCount: 5000, limit: 4096)) {
          _ = try tablet.read(.descriptor(type: 2, byteCount: 5000))
        }
      }
      #expect(bench.finish().map(\.rule) == [])
    }

    @Test func `a controller that is taken off the bus times out, and gives its memory back`()
      throws
    {
      let folder = try Folder()
      let bench = try CheckedDevice(.direct, configuration(folder))
      let free = bench.machine.freeByteCount
      do {
        let controller = try OHCIController(bench.device)
        let tablet = try USBDevice(controller, port: 1)
        bench.device.disableBusMastering()
        do throws(USBError) {
          _ = try tablet.read(.descriptor(type: 1, byteCount: 18))
          Issue.record("a controller without a bus made a transfer")
        } catch {
          // QEMU's controller stops when it cannot read its memory.
          #expect(error == .controllerStopped || error == .timedOut(milliseconds: 2000))
        }
        #expect(throws: USBError.controllerStopped) {
          _ = try tablet.read(.descriptor(type: 1, byteCount: 18))
        }
      }
      #expect(bench.finish().map(\.rule) == [])
      #expect(bench.machine.freeByteCount == free)
    }
  }
}
