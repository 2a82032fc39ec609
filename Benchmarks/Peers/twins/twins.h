/* The cases of each file; a case without a name ends the list. */
extern const struct peer_case direct_cases[], iommu_cases[];
