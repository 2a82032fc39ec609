import BareMetal
import DMA
import DeviceTree
import PCI

/// Brings the machine up, checks what it is for, and ends with a status that says how it went.
func runFirmware() -> Never {
  print("swift-dma firmware on " + Board.name)
  do throws(MachineError) {
    let description = try MachineDescription.fromLoader()
    for range in description.memory {
      print("RAM 0x\(String(range.start, radix: 16)) + 0x\(String(range.byteCount, radix: 16))")
    }
    let memory = try SharedMemory(description)
    let machine = try BareMachine(description, memory: memory)
    print("free \(machine.freeByteCount / 1024) KiB")
    for address in machine.pci?.scan() ?? [] { print(address.description) }
    Board.end(.passed)
  } catch {
    print("no machine: " + error.description)
    Board.end(.noMachine)
  }
}
