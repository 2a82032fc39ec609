public import DMA
public import Drivers

/// How a call with a buffer ended: the buffer comes back either way.
///
/// A thrown error could not carry it.
public enum NVMeReply: ~Copyable, Sendable {
  /// All blocks moved.
  case done(StreamingBuffer)
  /// Why not; after `NVMeError.failed` some blocks may have moved all the same.
  case failed(StreamingBuffer, NVMeError)

  /// The buffer, or throws why the call failed; the buffer is freed then.
  public consuming func get() throws(NVMeError) -> StreamingBuffer {
    switch consume self {
    case .done(let buffer): return buffer
    case .failed(_, let error): throw error
    }
  }
}
