import DMA
import DMAMapping
import Glibc
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  @Suite(.needsQEMU)
  struct QEMULifeTests {
    @Test func `a machine starts and stops, twice, and leaves no process`() throws {
      for _ in 0..<2 {
        let machine = try QEMUMachine()
        #expect(processes(named: machine.name) == [machine.processIdentifier])
        // q35's host bridge.
        #expect(machine.pci.find(vendorID: 0x8086, deviceID: 0x29c0) != nil)
        #expect(machine.failure == nil)
        let time = milliseconds { machine.stop() }
        #expect(time < 3000)
        #expect(machine.failure == .stopped)
        #expect(processes(named: machine.name).isEmpty)
        machine.stop()
      }
    }

    @Test func `a machine that goes takes its QEMU along, buffers stay`() throws {
      var name = ""
      var buffer: StreamingBuffer
      do {
        let machine = try QEMUMachine()
        name = machine.name
        buffer = try StreamingBuffer(byteCount: 4096, in: machine.platform)
      }
      #expect(processes(named: name).isEmpty)
      var span = buffer.mutableBytes
      span.storeBytes(of: 0x77, toByteOffset: 4095, as: UInt8.self)
      #expect(bytes(buffer).last == 0x77)
    }

    @Test func `devices sit where the configuration says, BARs are assigned`() throws {
      let machine = try QEMUMachine(
        QEMUMachine.Configuration(devices: [.edu(), .other("e1000,romfile="), .edu()]))
      let ids = (0..<3).map { index in
        machine.pci.readConfiguration(UInt32.self, machine.address(of: index), at: 0)
      }
      #expect(ids == [0x11e8_1234, 0x100e_8086, 0x11e8_1234])
      let bars = (0..<3).map { index in
        machine.pci.readConfiguration(UInt32.self, machine.address(of: index), at: 0x10) & ~15
      }
      #expect(Set(bars).count == 3)
      #expect(bars.allSatisfy { $0 >= 0xe000_0000 && $0 <= 0xfebf_ffff })
      // Nobody there: all ones.
      let nobody = PCIAddress(bus: 0, device: 30)
      #expect(machine.pci.readConfiguration(UInt32.self, nobody, at: 0) == .max)
      #expect(
        machine.pci.readConfiguration(UInt16.self, PCIAddress(segment: 1, bus: 0, device: 2), at: 0)
          == .max)
      // Every width of configuration space.
      let edu = machine.address(of: 0)
      #expect(machine.pci.readConfiguration(UInt8.self, edu, at: 1) == 0x12)
      #expect(machine.pci.readConfiguration(UInt8.self, edu, at: 3) == 0x11)
      #expect(machine.pci.readConfiguration(UInt16.self, edu, at: 2) == 0x11e8)
    }

    @Test func `memory of this process and freed memory do not resolve for DMA`() throws {
      let machine = try QEMUMachine()
      let free = machine.freeByteCount
      // The first megabyte is firmware's and the interrupt page's.
      #expect(free == 255 << 20)
      do {
        let buffer = try StreamingBuffer(byteCount: 10000, in: machine.platform)
        #expect(machine.freeByteCount == free - 12288)
        #expect(buffer.byteCount == 10000)
      }
      #expect(machine.freeByteCount == free)
    }

    @Test func `pages are zero again after a device wrote them`() throws {
      let bench = try EduBench()
      bench.device.enableBusMastering()
      var address: UInt64 = 0
      do {
        var buffer = try StreamingBuffer(byteCount: 64, for: bench.device.dma)
        var span = buffer.mutableBytes
        span.storeBytes(of: UInt64.max, toByteOffset: 0, as: UInt64.self)
        let mapping = try buffer.map(ToDevice.self, for: bench.device.dma).get()
        address = mapping.address.rawValue
        try bench.toDevice(mapping.address, 64)
        _ = mapping.unmap()
      }
      // A stray transfer into memory that nobody holds.
      try bench.transfer(from: 0x40000, to: address, byteCount: 64, command: 2)
      let buffer = try StreamingBuffer(byteCount: 64, for: bench.device.dma)
      #expect(bytes(buffer).allSatisfy { $0 == 0 })
    }

    @Test func `a VT-d unit answers at its registers when asked for`() throws {
      var configuration = QEMUMachine.Configuration(devices: [.edu()])
      configuration.hasIOMMU = true
      let machine = try QEMUMachine(configuration)
      let unit = machine.registers(at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096)
      // Version 1.0, and a capability register that is there.
      #expect(unit.read(UInt32.self, at: 0) == 0x10)
      #expect(unit.read(UInt64.self, at: 8) != 0)
      let without = try QEMUMachine()
      let nothing = without.registers(at: PhysicalAddress(rawValue: 0xfed9_0000), byteCount: 4096)
      #expect(nothing.read(UInt32.self, at: 0) != 0x10)
    }

    @Test func `DMA and message interrupts pass a VT-d unit that is off`() throws {
      let bench = try EduBench { $0.hasIOMMU = true }
      bench.device.enableBusMastering()
      let interrupt = try bench.device.enableMSI()
      bench.registers.write(1 as UInt32, at: 0x60)
      try interrupt.wait(nanoseconds: 5_000_000_000)
      #expect(bench.machine.interruptPage.count == 4096)
      var buffer = try StreamingBuffer(byteCount: 8, for: bench.device.dma)
      var span = buffer.mutableBytes
      span.storeBytes(of: 0x0123_4567_89ab_cdef, toByteOffset: 0, as: UInt64.self)
      let source = try buffer.map(ToDevice.self, for: bench.device.dma).get()
      try bench.toDevice(source.address, 8)
      let written = bytes(source.unmap())
      let empty = try StreamingBuffer(byteCount: 8, for: bench.device.dma)
      let destination = try empty.map(FromDevice.self, for: bench.device.dma).get()
      try bench.fromDevice(destination.address, 8)
      #expect(bytes(destination.unmap()) == written)
    }

    @Test func `network and USB controllers start with what they need`() throws {
      var configuration = QEMUMachine.Configuration(devices: [
        .other("e1000,netdev=net,romfile="), .other("pci-ohci,id=usb"),
      ])
      configuration.arguments = ["-netdev", "user,id=net", "-device", "usb-kbd,bus=usb.0"]
      let machine = try QEMUMachine(configuration)
      let classes = (0..<2).map { index in
        machine.pci.readConfiguration(UInt32.self, machine.address(of: index), at: 8) >> 8
      }
      #expect(classes == [0x02_0000, 0x0c_0310])
      #expect(machine.failure == nil)
    }

    @Test func `posted writes cost no round trip, and arrive in order`() throws {
      let bench = try EduBench()
      let before = bench.machine.roundTripCount
      for value in 0..<50 as Range<UInt32> { bench.registers.write(value, at: 4) }
      #expect(bench.machine.roundTripCount == before)
      #expect(bench.registers.read(UInt32.self, at: 4) == ~49)
      #expect(bench.machine.roundTripCount == before + 1)
      // More than are ever in flight.
      for value in 0..<1000 as Range<UInt32> { bench.registers.write(value, at: 4) }
      #expect(bench.registers.read(UInt32.self, at: 4) == ~999)
      #expect(bench.machine.roundTripCount < before + 20)
    }

    @Test func `QEMU and this process have no file open`() throws {
      let before = Set(openFiles(of: getpid()))
      let machine = try QEMUMachine(QEMUMachine.Configuration(devices: [.edu()]))
      let ours = Set(openFiles(of: getpid())).subtracting(before)
      let theirs = openFiles(of: machine.processIdentifier)
      #expect(theirs.contains { $0.hasPrefix("/memfd:") })
      for file in theirs where file.hasPrefix("/") {
        #expect(file.hasPrefix("/memfd:") || file.hasPrefix("/dev/null"), "\(file)")
      }
      // Other tests of this process may be reading files of their own.
      for file in ours {
        #expect(!file.hasPrefix("/tmp/") && !file.hasPrefix("/dev/shm/"), "\(file)")
      }
    }

    @Test func `an NVMe image becomes a controller`() throws {
      // A path that QEMU's option syntax would split.
      let path = "/tmp/qemu-machine-\(getpid()),a=b.img"
      let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      try #require(descriptor >= 0)
      defer { unsafe unlink(path) }
      ftruncate(descriptor, 1 << 20)
      close(descriptor)
      for isReadOnly in [false, true] {
        let machine = try QEMUMachine(
          QEMUMachine.Configuration(devices: [.nvme(image: path, isReadOnly: isReadOnly)]))
        let device = try PCIDevice(
          host: machine.pci, address: machine.address(of: 0),
          mapping: DirectMapping.make(for: machine.platform))
        #expect(device.classCode == 0x01_0802)
        let registers = try device.mapBAR(0)
        // Capabilities: 2048 entries a queue; and version 1.4 or later.
        #expect(registers.read(UInt64.self, at: 0) & 0xffff == 2047)
        #expect(registers.read(UInt32.self, at: 8) >= 0x1_0400)
        machine.stop()
      }
    }

    @Test func `many threads may use a machine at once`() async throws {
      let machine = try QEMUMachine(
        QEMUMachine.Configuration(devices: [.edu(), .edu(), .edu(), .edu()]))
      let windows = try (0..<4).map { index in
        try PCIDevice(
          host: machine.pci, address: machine.address(of: index),
          mapping: DirectMapping.make(for: machine.platform)
        ).mapBAR(0)
      }
      await withTaskGroup(of: Bool.self) { group in
        for index in 0..<4 {
          group.addTask {
            let registers = windows[index]
            for round in 0..<300 as Range<UInt32> {
              let value = round << 8 | UInt32(index)
              registers.write(value, at: 4)
              if registers.read(UInt32.self, at: 4) != ~value { return false }
              let bar = machine.pci.readConfiguration(
                UInt32.self, machine.address(of: index), at: 0x10)
              if bar & 0xf000_0000 != 0xe000_0000 { return false }
            }
            return true
          }
        }
        for await isRight in group { #expect(isRight) }
      }
    }
  }
}
