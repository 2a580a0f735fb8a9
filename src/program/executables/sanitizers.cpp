// How AddressSanitizer begins in what journeys start by the thousand. Frames that are kept to see their use after return get 64 KiB of each size
// rather than 1 MiB: a process that lives for a tenth of a second touched every page of them once, a quarter of all its page faults.
// Source: https://github.com/google/sanitizers/wiki/AddressSanitizerUseAfterReturn

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "min_uar_stack_size_log=16:max_uar_stack_size_log=16"; }
