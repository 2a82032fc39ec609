internal import DMASupport

/// Order between accesses to coherent memory, as a device sees it (R37, T25).
///
/// Coherent memory makes each store visible, not two stores in order: put a barrier between the
/// body of a descriptor and the word that hands it over. `RegisterWindow` writes come with one.
public enum DMABarrier {
  /// Stores before are seen by devices before stores after.
  public static func write() { dma_barrier_write() }
  /// Loads before are done before loads after: between an ownership bit and what it guards.
  public static func read() { dma_barrier_read() }
  /// All accesses before are done before any after.
  public static func full() { dma_barrier_full() }
}
