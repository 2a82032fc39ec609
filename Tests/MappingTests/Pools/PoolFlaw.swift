/// What can be wrong with a pool: most of it was, in some system at some time.
///
/// A test that passes with a flaw it names proves nothing; see BrokenPoolTests.
enum PoolFlaw: Sendable, CaseIterable {
  // MARK: How blocks lie

  /// Blocks overlap.
  case overlapsBlocks
  /// Blocks follow one another without regard to the alignment.
  case ignoresAlignment
  /// Blocks follow one another without regard to the boundary.
  case ignoresBoundary
  /// Blocks that need no boundary are kept off pages' ends all the same, or refused (R65).
  case refusesStraddling
  /// Alignments that are no powers of two are taken (T18, Linux 2.4.4).
  case acceptsAnyAlignment
  /// Sizes and boundaries that cannot be are taken.
  case acceptsImpossible
  /// One unit of alignment too much (T12, Linux to 2.6.24).
  case roundsTooFar
  /// Only blocks that a 32-bit search of the bitmap finds (T13, Linux 2.4.4 on 64 bits).
  case searches32Bits
  /// A page for each window between boundaries (T16, Linux 2.4.4).
  case takesPagePerWindow
  /// The last block of each window is never used (T17, Linux 2008 to 6.3).
  case losesLastBlock
  /// A boundary longer than the page lets the last block run past it (T17b, Linux 2008 to 6.3).
  case runsPastPage

  // MARK: Calls

  /// Its name is not in the statistics.
  case forgetsName
  /// Flags it does not know are an error.
  case refusesUnknownFlags
  /// Creating and allocating may sleep.
  case needsToSleep
  /// It does not wait for another's block.
  case doesNotWait
  /// It counts a block that it did not give.
  case countsFailures
  /// Its lock is held while memory is allocated (T15, Linux 2.4.4).
  case locksWhileGrowing
  /// A poisoned pool cannot grow (T11, Linux 2.4.4).
  case failsToGrowPoisoned
  /// Addresses of other pools' blocks are taken.
  case acceptsForeign
  /// CPU and bus address need not belong together.
  case acceptsMismatch
  /// A block is freed twice (T19, Linux unless it was built for debugging).
  case acceptsDoubleFree
  /// Free blocks and new ones hold no patterns.
  case forgetsPoison
  /// Patterns are written but not looked at.
  case overlooksPoison
  /// A block that is to be zero is not.
  case forgetsToZero

  // MARK: The end

  /// A page goes with its last block (T14, Linux 2.4.4).
  case dropsEmptyPages
  /// Pages are never given back.
  case keepsPages
  /// It ends under the device's hands.
  case destroysBusy
  /// It ends in an interrupt.
  case destroysInInterrupt
}
