import DMA
import DMAMapping
import Drivers
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  @Suite(.needsQEMU)
  struct EduOnQEMUTests {
    @Test func `the device is identified, alive and computes factorials`() throws {
      let bench = try EduBench()
      #expect(bench.device.vendorID == 0x1234)
      #expect(bench.device.deviceID == 0x11e8)
      let identification: UInt32 = bench.registers.read(at: 0)
      #expect(identification & 0xff == 0xed)
      for value in [0, 1, 0x1234_5678, UInt32.max] {
        bench.registers.write(value, at: 4)
        #expect(bench.registers.read(UInt32.self, at: 4) == ~value)
      }
      for (number, expected) in [(1, 1), (5, 120), (10, 3_628_800)] as [(UInt32, UInt32)] {
        bench.registers.write(number, at: 8)
        try bench.machine.platform.wait(nanoseconds: 5_000_000_000) {
          bench.registers.read(UInt32.self, at: 0x20) & 1 == 0
        }
        #expect(bench.registers.read(UInt32.self, at: 8) == expected)
      }
      #expect(bench.machine.failure == nil)
    }

    @Test func `bytes go to the device and back by DMA`() throws {
      var random = SeededGenerator()
      let bench = try EduBench()
      bench.device.enableBusMastering()
      let byteCount = 4095
      var source = try StreamingBuffer(byteCount: byteCount, for: bench.device.dma)
      let expected = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
      fill(&source, expected)
      let toDevice = try source.map(ToDevice.self, for: bench.device.dma).get()
      try bench.toDevice(toDevice.address, byteCount)
      #expect(bytes(toDevice.unmap()) == expected)
      let destination = try StreamingBuffer(byteCount: byteCount, for: bench.device.dma)
      #expect(bytes(destination) == [UInt8](repeating: 0, count: byteCount))
      let fromDevice = try destination.map(FromDevice.self, for: bench.device.dma).get()
      try bench.fromDevice(fromDevice.address, byteCount)
      #expect(bytes(fromDevice.unmap()) == expected)
    }

    @Test func `without bus mastering a transfer ends and moves nothing`() throws {
      let bench = try EduBench()
      #expect(!bench.device.isBusMasteringEnabled)
      let destination = try StreamingBuffer(byteCount: 64, for: bench.device.dma)
      bench.device.enableBusMastering()
      var marked = try StreamingBuffer(byteCount: 64, for: bench.device.dma)
      fill(&marked, [UInt8](repeating: 0x5a, count: 64))
      let source = try marked.map(ToDevice.self, for: bench.device.dma).get()
      try bench.toDevice(source.address, 64)
      _ = source.unmap()
      bench.device.disableBusMastering()
      let mapping = try destination.map(FromDevice.self, for: bench.device.dma).get()
      try bench.fromDevice(mapping.address, 64)
      #expect(bytes(mapping.unmap()) == [UInt8](repeating: 0, count: 64))
    }

    @Test func `a message interrupt arrives once for each event`() throws {
      let bench = try EduBench()
      bench.device.enableBusMastering()
      let interrupt = try bench.device.enableMSI()
      #expect(!interrupt.deliver())
      for status in [1, 0x80] as [UInt32] {
        bench.registers.write(status, at: 0x60)
        try interrupt.wait(nanoseconds: 5_000_000_000)
        #expect(bench.registers.read(UInt32.self, at: 0x24) == status)
        bench.registers.write(status, at: 0x64)
        #expect(!interrupt.deliver())
      }
      let buffer = try StreamingBuffer(byteCount: 16, for: bench.device.dma)
      let mapping = try buffer.map(FromDevice.self, for: bench.device.dma).get()
      bench.registers.write(0x40000 as UInt64, at: 0x80)
      bench.registers.write(mapping.address.rawValue, at: 0x88)
      bench.registers.write(16 as UInt64, at: 0x90)
      bench.registers.write(7 as UInt64, at: 0x98)
      try interrupt.wait(nanoseconds: 5_000_000_000)
      #expect(bench.registers.read(UInt64.self, at: 0x98) & 1 == 0)
      #expect(bench.registers.read(UInt32.self, at: 0x24) == 0x100)
      _ = mapping.unmap()
    }

    @Test func `memory above 4 GiB is where the device sees it`() throws {
      let bench = try EduBench { configuration in
        configuration.devices = [.edu(dmaMask: .bits64)]
        configuration.lowMemoryByteCount = 64 << 20
      }
      try bench.device.dma.setMask(.bits64)
      bench.device.enableBusMastering()
      var source = try StreamingBuffer(
        byteCount: 4095, in: bench.machine.platform, placement: .high)
      let expected = (0..<4095).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 3) }
      fill(&source, expected)
      let toDevice = try source.map(ToDevice.self, for: bench.device.dma).get()
      #expect(toDevice.address.rawValue >= 4 << 30)
      // 256 MiB, of which 64 lie low: the last page ends at 4 GiB and 192 MiB.
      #expect(toDevice.address.rawValue == 4 << 30 + 192 << 20 - 4096)
      try bench.toDevice(toDevice.address, 4095)
      _ = toDevice.unmap()
      let low = try StreamingBuffer(byteCount: 4095, for: bench.device.dma)
      let fromDevice = try low.map(FromDevice.self, for: bench.device.dma).get()
      try bench.fromDevice(fromDevice.address, 4095)
      #expect(bytes(fromDevice.unmap()) == expected)
    }

    @Test func `beyond its 28 bits the device reaches other memory than it was told`() throws {
      let bench = try EduBench { $0.memoryByteCount = 1 << 30 }
      bench.device.enableBusMastering()
      var low = try StreamingBuffer(
        byteCount: 64, in: bench.machine.platform, placement: .below(DMAMask(bitCount: 28)))
      fill(&low, [UInt8](repeating: 0xc3, count: 64))
      let source = try low.map(ToDevice.self, for: bench.device.dma).get()
      try bench.toDevice(source.address, 64)
      _ = source.unmap()
      // The driver does not know the device's limit: 32 bits, the default.
      let high = try StreamingBuffer(
        byteCount: 64, in: bench.machine.platform, placement: .high)
      let mapping = try high.map(FromDevice.self, for: bench.device.dma).get()
      #expect(mapping.address.rawValue >> 28 != 0)
      try bench.fromDevice(mapping.address, 64)
      #expect(bytes(mapping.unmap()) == [UInt8](repeating: 0, count: 64))
      // With the mask it has, the same memory is refused, with the numbers.
      try bench.device.dma.setMask(DMAMask(bitCount: 28))
      let refused = try StreamingBuffer(
        byteCount: 64, in: bench.machine.platform, placement: .high)
      do throws(DMAError) {
        _ = try refused.map(FromDevice.self, for: bench.device.dma).get()
        Issue.record("memory beyond the mask was mapped")
      } catch {
        guard case .outOfReach(let first, let last, let mask) = error else {
          Issue.record("\(error)")
          return
        }
        #expect(first.rawValue > mask.rawValue && last.rawValue == first.rawValue + 63)
        #expect(mask == DMAMask(bitCount: 28))
      }
      bench.machine.stop()
      #expect(bench.machine.diagnostics.contains("clamping"))
    }

    @Test(arguments: [EduDevice.Completion.polling, .interrupt])
    func `the Edu driver copies a buffer`(_ completion: EduDevice.Completion) throws {
      var random = SeededGenerator()
      let machine = try QEMUMachine(QEMUMachine.Configuration(devices: [.edu()]))
      let device = try PCIDevice(
        host: machine.pci, address: machine.address(of: 0),
        mapping: DirectMapping.make(for: machine.platform))
      let free = machine.freeByteCount
      do {
        let edu = try EduDevice(device, completion: completion)
        #expect(try edu.factorial(of: 6) == 720)
        var source = try StreamingBuffer(byteCount: 5000, for: device.dma)
        let expected = (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }
        fill(&source, expected)
        var destination = try StreamingBuffer(byteCount: 5000, for: device.dma)
        #expect(try edu.copy(&source, to: &destination) == 4)
        #expect(bytes(destination) == expected)
      }
      #expect(machine.freeByteCount == free)
      #expect(machine.failure == nil)
    }

    @Test func `waiting for a transfer asks QEMU a few times, not thousands`() throws {
      let bench = try EduBench()
      bench.device.enableBusMastering()
      let buffer = try StreamingBuffer(byteCount: 16, for: bench.device.dma)
      let mapping = try buffer.map(FromDevice.self, for: bench.device.dma).get()
      let before = bench.machine.roundTripCount
      let busy = threadMicroseconds()
      let time = try milliseconds { try bench.fromDevice(mapping.address, 16) }
      #expect(time >= 90)
      #expect(bench.machine.roundTripCount - before < 300)
      #expect(threadMicroseconds() - busy < 30_000)
      _ = mapping.unmap()
    }

    private func fill(_ buffer: inout StreamingBuffer, _ content: [UInt8]) {
      var span = buffer.mutableBytes
      for (index, byte) in content.enumerated() {
        // SAFETY: the buffer was made with as many bytes as the content has.
        span.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      }
    }
  }
}
