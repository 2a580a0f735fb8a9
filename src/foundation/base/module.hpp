// base/module.hpp: a client library that is opened only when the configuration asks for it (a table's type, Cyrus SASL), so that no process carries
//          what it does not use.
// Powers   a confined service cannot open libraries: what needs one is opened before (process/confine).
// Errors   "open library libdb-5.3.so: ..." (dlerror), with the name of the package to install where `hint` gives it.
#pragma once

#include "base/error.hpp"

#include <string>

namespace posthorn {

class Module {
public:
    /// Stays open until the process ends: what libraries start in the background has no clean end.
    static Result<Module> open(const std::string& library, std::string_view hint);
    /// `into` is declared after the header: decltype(&::db_create) create; module.load(create, "db_create").
    template <class Function>
    Result<void> load(Function& into, const char* name) const
    {
        TRY(void* const found, symbol(name));
        into = reinterpret_cast<Function>(found);
        return {};
    }

private:
    Module(void* handle, std::string library) : handle_(handle), library_(std::move(library)) {}
    Result<void*> symbol(const char* name) const;

    void* handle_;
    std::string library_;
};

}  // namespace posthorn
