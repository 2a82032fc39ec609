#include "../peer.h"
#include "twins.h"

int main(int argc, char **argv)
{
	const struct peer_case *files[] = {direct_cases, iommu_cases};
	struct peer_case all[32];
	size_t count = 0;
	for (size_t file = 0; file < sizeof files / sizeof *files; file++)
		for (const struct peer_case *it = files[file]; it->name; it++) all[count++] = *it;
	return peer_main(argc, argv, all, count);
}
