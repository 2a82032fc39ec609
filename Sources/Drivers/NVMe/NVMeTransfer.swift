public import DMA

/// The memory of a command: who gives a command to a queue gives this away, and gets it back with
/// the completion.
public enum NVMeTransfer: ~Copyable, Sendable {
  /// The command moves no data, or memory that its caller keeps mapped.
  case none
  case read(StreamingMapping<FromDevice>)
  case write(StreamingMapping<ToDevice>)
  case readList(ScatterMapping<FromDevice>)
  case writeList(ScatterMapping<ToDevice>)

  /// Ends the mapping and gives the memory back to the CPU.
  public consuming func unmap(
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> NVMeBuffer {
    switch consume self {
    case .none: return .none
    case .read(let mapping): return .single(mapping.unmap(file: file, line: line))
    case .write(let mapping): return .single(mapping.unmap(file: file, line: line))
    case .readList(let mapping): return .list(mapping.unmap(file: file, line: line))
    case .writeList(let mapping): return .list(mapping.unmap(file: file, line: line))
    }
  }
}

/// The memory of a command that is done, the CPU's again.
public enum NVMeBuffer: ~Copyable, Sendable {
  case none
  case single(StreamingBuffer)
  case list(ScatterBuffer)
}

/// What giving a command to a queue came to.
///
/// A thrown error could not carry the memory back.
public enum NVMeSubmission: ~Copyable, Sendable {
  /// The controller has it once the doorbell rings: see `NVMeQueue.ring()`.
  case accepted
  /// Nothing happened: the memory as it was, still mapped, and why.
  case refused(NVMeTransfer, NVMeError)

  /// Throws why the command was refused, and unmaps and frees its memory then.
  public consuming func get() throws(NVMeError) {
    switch consume self {
    case .accepted: return
    case .refused(let transfer, let error):
      _ = transfer.unmap()
      throw error
    }
  }
}

/// A command that is done.
public struct NVMeCompletion: ~Copyable, Sendable {
  /// What the submitter called the command.
  public let tag: UInt64
  /// Nil when the command succeeded; `NVMeError.failed`, or `.stopped` for commands that were
  /// running when the controller was stopped: whether those were done is not known.
  public let error: NVMeError?
  /// The command's own result.
  let result: UInt32
  let transfer: NVMeTransfer

  /// The command's memory, still mapped: to be given to another command, or unmapped.
  public consuming func takeTransfer() -> NVMeTransfer { transfer }
}

/// A command between its submission and its completion.
struct NVMeRunning: ~Copyable {
  var tag: UInt64
  var transfer: NVMeTransfer
  /// How many pages of PRP lists it has.
  var listCount: Int
}
