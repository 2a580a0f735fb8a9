// An instance of the house in a folder of its own, for tests: written, started, asked, stopped.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace posthorn::house {

class Instance {
public:
    Instance();                                           // a fresh folder under /tmp
    ~Instance();                                          // ends what still runs, removes the folder
    Instance(Instance&&) = delete;

    void write(std::string_view name, std::string_view text) const;       // below the folder
    void main_cf(std::string_view more = {}) const;       // a sound file and `more`
    void master_cf(std::string_view text) const;
    std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }

    /// With a limit of open files; 0: that of the test.
    void start(unsigned open_files = 0);
    /// The exit status; -1 when it did not end in time.
    int wait_for_end(std::chrono::seconds limit = std::chrono::seconds(120));
    void signal(int number) const;
    pid_t master() const { return master_; }
    /// What master said on standard error.
    std::string said() const;

    std::string log() const;
    /// Waits until the log has `text` at least `times` times.
    bool logged(std::string_view text, unsigned times = 1, std::chrono::seconds limit = std::chrono::seconds(120)) const;
    /// Processes of the instance by program, newest last.
    std::vector<pid_t> processes(std::string_view program) const;
    /// One question to memory, qmgr or resolve.
    std::string ask(std::string_view program, std::string_view question) const;

private:
    std::string folder_;
    pid_t master_ = -1;
};

}  // namespace posthorn::house
