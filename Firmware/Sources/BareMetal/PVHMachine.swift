#if arch(x86_64)
  import ACPI
  import Boards
  import CPU
  import DMA
  public import DeviceTree
  import Startup

  extension MachineDescription {
    /// What the PVH loader's hvm_start_info says (Xen, "x86/HVM direct boot ABI").
    public static func fromLoader() throws(MachineError) -> MachineDescription {
      let address = board_description(startup_argument())
      guard let info = unsafe UnsafeRawPointer(bitPattern: address),
        unsafe info.loadUnaligned(as: UInt32.self) == 0x336e_c578,
        // Version 1 added the memory map.
        unsafe info.loadUnaligned(fromByteOffset: 4, as: UInt32.self) >= 1
      else { throw .noDescription(at: address) }
      // SAFETY: the loader's protocol, checked by its magic; below 4 GiB, which is mapped.
      let map = unsafe UInt(info.loadUnaligned(fromByteOffset: 40, as: UInt64.self))
      let count = unsafe Int(info.loadUnaligned(fromByteOffset: 48, as: UInt32.self))
      guard let entries = unsafe UnsafeRawPointer(bitPattern: map), count <= 1024,
        map < 0x1_0000_0000 - UInt(count * 24)
      else { throw .noDescription(at: map) }
      var description = MachineDescription()
      for index in 0..<count {
        // SAFETY: 24 bytes an entry: address, size, type.
        let entry = unsafe entries + index * 24
        guard unsafe entry.loadUnaligned(fromByteOffset: 16, as: UInt32.self) == 1 else {
          continue
        }
        let range = unsafe MemoryRange(
          start: entry.loadUnaligned(as: UInt64.self),
          byteCount: entry.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        if range.byteCount > 0 { description.memory.append(range) }
      }
      guard !description.memory.isEmpty else { throw .noMemory }
      // The first MiB belongs to the BIOS: its data, its vectors, the loader's own tables.
      description.reserved.append(MemoryRange(start: 0, byteCount: 0x10_0000))
      description.pci = .ports
      // QEMU's PCs have it here; its driver asks for the signature before anything else.
      description.firmwareConfiguration = .ports(0x510)
      description.ticksPerSecond = measureTicks()
      guard description.ticksPerSecond != 0 else { throw .noClock }
      description.cacheLineByteCount = cpu_cache_line_size()
      // SAFETY: 32 bytes in is the root pointer's address, as far as the loader knows it.
      let rootPointer = unsafe info.loadUnaligned(fromByteOffset: 32, as: UInt64.self)
      try description.describeRemapping(rootPointer)
      return description
    }

    /// ACPI says where VT-d units are, and which devices each has.
    private mutating func describeRemapping(_ rootPointer: UInt64) throws(MachineError) {
      let found = rootPointer != 0 ? rootPointer : ACPITables.searchRootPointer(Self.byte)
      guard let found else { return }
      do throws(ACPIError) {
        remappingUnits = try ACPITables(rootPointer: found, memory: Self.byte).remappingUnits()
      } catch { throw .acpi(error) }
    }

    /// Memory below 4 GiB, which the startup code has mapped; tables lie nowhere else.
    private static func byte(_ address: UInt64) -> UInt8? {
      guard address > 0, address < 0x1_0000_0000 else { return nil }
      return UInt8.volatileLoad(at: UInt(address))
    }

    /// The time-stamp counter's rate, by the interval timer's channel 2 (8254: 1,193,182 Hz).
    ///
    /// The shortest of three measurements: whatever comes between makes one longer.
    private static func measureTicks() -> UInt64 {
      var best = UInt64.max
      for _ in 0..<3 { best = min(best, measureTicksOnce()) }
      return best
    }

    private static func measureTicksOnce() -> UInt64 {
      let frequency: UInt64 = 1_193_182
      // 25 ms; the counter has 16 bits.
      let count: UInt64 = 29_830
      // Port 0x61: gate of channel 2 on, speaker off.
      cpu_out8(0x61, cpu_in8(0x61) & ~2 | 1)
      // Channel 2, both bytes, mode 0: the output rises when the count is done.
      cpu_out8(0x43, 0xb0)
      cpu_out8(0x42, UInt8(count & 0xff))
      cpu_out8(0x42, UInt8(count >> 8))
      let start = cpu_ticks()
      var polls = 0
      while cpu_in8(0x61) & 0x20 == 0 {
        polls += 1
        guard polls < 100_000_000 else { return 0 }
      }
      return (cpu_ticks() - start) * frequency / count
    }
  }
#endif
