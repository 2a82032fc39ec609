#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme write FILE`: a file's bytes onto blocks of the disk.
  struct NVMeWriteCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "write",
      abstract:
        "Writes a file onto the disk from any block on; its last block is filled with zeroes.",
      discussion: "Exit code: 0 done, 1 a transfer failed, 2 bad input.")

    @Argument(help: "The file to write.")
    var file: String

    @Option(help: "Where on the disk to begin; whole blocks.")
    var offset = ByteSize(0)

    @OptionGroup var options: NVMeOptions

    func drive() throws -> Checking {
      let file: OpenFile
      do throws(FileError) { file = try OpenFile(reading: self.file) } catch {
        throw Failure.badInput(error.description)
      }
      let bench = try NVMeBench(options, isReadOnly: false)
      let disk = bench.namespace
      let block = UInt64(disk.blockByteCount)
      guard offset.byteCount % block == 0, offset.byteCount < disk.byteCount else {
        throw Failure.badInput(
          "--offset \(offset): the disk has \(disk.blockCount) blocks of \(block) bytes")
      }
      guard UInt64(file.byteCount) <= disk.byteCount - offset.byteCount else {
        throw Failure.badInput(
          "\(self.file) has \(file.byteCount) bytes, the disk only"
            + " \(disk.byteCount - offset.byteCount) from there on")
      }
      var bar = ProgressBar(total: file.byteCount)
      var done = 0
      do throws(NVMePump.Stop) {
        while done < file.byteCount {
          let count = min(file.byteCount - done, 1 << 20)
          try write(bench, file, done, count)
          done += count
          bar.show(done)
        }
        do throws(NVMeError) { try bench.queue.flush(disk) } catch {
          throw NVMePump.Stop.disk(error)
        }
      } catch {
        bar.clear()
        throw Failure.stopped(error)
      }
      bar.clear()
      switch options.common.format {
      case .text: print("\(done) bytes onto the disk from byte \(offset.byteCount) on")
      case .json: print("{\"bytes\":\(done),\"offset\":\(offset.byteCount)}")
      }
      return bench.machine.checking
    }

    /// Writes one piece of the file.
    private func write(
      _ bench: NVMeBench, _ file: OpenFile, _ done: Int, _ count: Int
    ) throws(NVMePump.Stop) {
      let block = bench.namespace.blockByteCount
      var buffer: StreamingBuffer
      do throws(DMAError) {
        // New memory is zero: so is what follows the file's last byte.
        buffer = try StreamingBuffer(
          byteCount: (count + block - 1) / block * block, in: bench.platform,
          placement: bench.machine.placement)
      } catch { throw .disk(.dma(error)) }
      try NVMePump.fill(&buffer, file, done, count)
      do throws(NVMeError) {
        try bench.queue.write(
          from: &buffer, toBlock: (offset.byteCount + UInt64(done)) / UInt64(block),
          of: bench.namespace)
      } catch { throw .disk(error) }
    }
  }
#endif
