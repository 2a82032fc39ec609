#if CLI
  import ArgumentParser
  internal import DMA
  internal import DMAChecker
  internal import Drivers
  internal import PCI

  /// `dmatool demo`: the main job on the simulated machine, explained.
  struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "demo",
      abstract: "Moves a real file by DMA on a simulated machine, and explains what happened.")

    @Argument(help: "The file to move; this program's own first 256 KiB when left out.")
    var file: String?

    @Option(help: "Seed of the simulated machine.")
    var seed: UInt64 = 1

    @Flag(help: "Show what the checker finds in a driver with a bug of each kind instead.")
    var bugs = false

    @Flag(
      help: """
        Check every DMA rule while the drivers run: only what lesson 3 breaks on purpose may be found.
        """)
    var check = false

    func run() throws {
      if bugs {
        try BugDemo.run()
        return
      }
      let bytes: [UInt8]
      do throws(FileError) {
        bytes = try FileBytes.read(file ?? "/proc/self/exe", limit: 256 << 10)
      } catch {
        throw Failure.badInput(error.description)
      }
      let bench = try EduBench(
        try MachineOptions.parse(
          ["--interrupt", "--seed", "\(seed)"] + (check ? ["--check"] : [])))
      let edu = bench.edu
      let counter = EventCounter()
      bench.machine.checking.add(counter.observer)
      print(
        """
        The machine: 6 GiB of memory, 3 GiB of it above 4 GiB; on its PCI bus, at \
        \(edu.device.address), a teaching device
        (edu, \(Self.hex(edu.identification))) that can address \(edu.device.dma.mask.bitCount) bits: \
        the lowest 256 MiB.
        The file: \(file ?? "this program"), \(bytes.count) bytes.

        1. Buffers wherever the machine has memory.
        """)
      try refused(edu, bytes)
      print("\n2. Buffers where the device can reach.")
      let result = try copied(edu, bytes)
      try dropped(edu)
      print("\nWhat the driver did, call by call:\n")
      print(Self.table(counter.counts, result, quarantined: edu.device.dma.quarantined))
      edu.device.disableBusMastering()
      let left = edu.device.dma.quarantined.mappingCount
      print(
        """

        Bus mastering is off now: the device is quiet, and \
        \(left == 0 ? "the memory held back was freed" : "\(left) mappings are still held back").
        """)
      guard bench.machine.checking.finish(expecting: check ? .mappingDropped : nil) else {
        throw ExitCode(1)
      }
      let disksAreSame = try disks()
      print(
        """

        Try next:
          dmatool edu copy FILE                  the same with your file
          dmatool edu copy FILE --placement high --mask 40
                                                 a device with more address bits reaches all memory
          dmatool edu copy FILE --interrupt --format json
          dmatool nvme copy FILE --image DISK --mapping iommu --mask 32
          dmatool net demo --mapping bounce
        """)
      guard result.firstDifference == nil, left == 0, disksAreSame else { throw ExitCode(1) }
    }

    /// The lesson about what a mapping costs.
    private func disks() throws -> Bool {
      print("\n4. A disk through each mapping.")
      let rows = try DiskComparison.run(
        file ?? "/proc/self/exe", limit: 1 << 20, seed: seed, isChecked: check)
      let isSame = rows.allSatisfy(\.isIdentical)
      print(
        """
           The file's first MiB onto an NVMe disk, a real image file, from memory above 4 GiB: \
        \(isSame ? "every byte is the same" : "DIFFERENT").
           Direct needs a controller that drives 64 bits; the others manage with 32. Bounced are bytes
           that were copied; entries and commands are the IOMMU's; pool blocks hold lists of pages.

        \(DiskComparison.table(rows))

           Time of this computer: \
        \(rows.map { "\($0.name) \($0.hostNanoseconds / 1000) us" }.joined(separator: "; ")).
        """)
      return isSame
    }

    /// The first lesson: the mask.
    private func refused(_ edu: EduDevice, _ bytes: [UInt8]) throws {
      do throws(EduError) {
        _ = try EduCopy.run(edu, bytes, placement: .high)
      } catch {
        print("   Refused: \(error.description.replacing("; ", with: ";\n   ")).")
        print("   Nothing was mapped, and no byte went anywhere else.")
        return
      }
      throw Failure.failed("memory out of the device's reach was mapped")
    }

    /// The job itself.
    private func copied(_ edu: EduDevice, _ bytes: [UInt8]) throws -> EduCopy.Result {
      let result: EduCopy.Result
      do throws(EduError) {
        result = try EduCopy.run(edu, bytes, placement: .below(edu.device.dma.mask))
      } catch {
        throw Failure.failed(error.description)
      }
      let outcome =
        result.firstDifference.map { "DIFFERENT from byte \($0) on" } ?? "every byte is the same"
      print(
        """
           Sent into the device's buffer and fetched back, 4095 bytes at a time: \(outcome).
           \(result.transfers) transfers took \
        \(EduCopyCommand.milliseconds(result.machineMilliseconds)) ms of the machine's time.

        3. A mapping that the driver forgets.
        """)
      return result
    }

    /// The lesson about dropping a live mapping.
    private func dropped(_ edu: EduDevice) throws {
      do throws(DMAError) {
        let buffer = try StreamingBuffer(byteCount: 1500, for: edu.device.dma)
        _ = try buffer.map(FromDevice.self, for: edu.device.dma).get()
      } catch {
        throw Failure.failed(error.description)
      }
      let held = edu.device.dma.quarantined
      print(
        """
           The value went away while the device might still write: \(held.mappingCount) mapping of \
        \(held.byteCount) bytes is held back,
           nobody else gets its memory, and an observer is told.
        """)
    }

    private static func table(
      _ counts: EventCounter.Counts, _ result: EduCopy.Result,
      quarantined: (mappingCount: Int, byteCount: Int)
    ) -> String {
      var table = TextTable(["event", "count", "what it means"], rightAligned: [1])
      table.add(["map refused", "\(counts.refusedMaps)", "memory beyond the device's 28 bits"])
      table.add(["map", "\(counts.maps)", "the device owns the memory: the CPU has no way to it"])
      table.add(["  to device", "\(counts.bytesToDevice)", "bytes the device may read"])
      table.add(["  from device", "\(counts.bytesFromDevice)", "bytes the device may write"])
      table.add(["unmap", "\(counts.unmaps)", "the CPU has the memory back"])
      table.add(["dropped", "\(counts.dropped)", "ended without an unmap: a bug in the driver"])
      table.add([
        "held back", "\(quarantined.byteCount)", "bytes in quarantine until the device is quiet",
      ])
      return table.text
    }

    private static func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
  }
#endif
