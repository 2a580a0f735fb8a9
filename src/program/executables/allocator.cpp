// What jemalloc reads before main() (jemalloc(3), "TUNING"; MALLOC_CONF in the environment comes after it).
// A service is one thread that does nearly everything and a few that wait for the disk: one arena serves them, and what one of them frees is the next one's.

extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "narenas:1";
}
