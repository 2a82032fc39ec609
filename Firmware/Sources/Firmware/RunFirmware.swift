import BareMetal
import DMA
import DeviceTree

/// Brings the machine up, checks what it is for, and ends with a status that says how it went.
func runFirmware() -> Never {
  print("swift-dma firmware on " + Board.name)
  do throws(MachineError) {
    let description = try MachineDescription.fromLoader()
    for range in description.memory {
      print("RAM " + hex(range.start) + " + " + hex(range.byteCount))
    }
    let memory = try SharedMemory(description)
    let machine = try BareMachine(description, memory: memory)
    var table = CheckTable()
    checkMachine(&table, description, machine)
    if let file = checkFirmwareConfiguration(&table, description, machine),
      let given = findDevices(&table, description, machine)
    {
      checkEdu(&table, description, given, file)
      checkPools(&table, given)
      checkBounce(&table, description, given, file)
      checkDisk(&table, description, given, file)
      checkChecker(&table, given)
      // The same memory and devices, as if the devices did not see the cache.
      checkIncoherent(&table, description, memory, given, file)
      // The same behind an IOMMU, where there is one.
      checkRemapping(&table, description, memory, given, file)
    }
    print("\(table.count) checks, \(table.failureCount) failed")
    Board.end(table.failureCount == 0 ? .passed : .failed)
  } catch {
    print("no machine: " + error.description)
    Board.end(.noMachine)
  }
}
