// moving/other_end.hpp: the command that brings what is said to the other machine: ssh, kubectl exec, or posthorn itself.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <sys/types.h>

#include <string>
#include <vector>

namespace posthorn::moving {

class OtherEnd {
public:
    /// Its standard input and output are one socket, of which we have the other end; its standard error is ours.
    static Result<OtherEnd> start(std::vector<std::string> command);
    OtherEnd(OtherEnd&& other) noexcept;
    OtherEnd& operator=(OtherEnd&&) = delete;
    /// It hears that nothing follows; where it does not end by itself within ten seconds it is ended.
    ~OtherEnd();

    int socket() const { return socket_.get(); }

private:
    OtherEnd(Fd socket, pid_t process) : socket_(std::move(socket)), process_(process) {}
    Fd socket_;
    pid_t process_;
};

}  // namespace posthorn::moving
