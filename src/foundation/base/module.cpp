#include "base/module.hpp"

#include <fmt/format.h>

#include <dlfcn.h>

namespace posthorn {

Result<Module> Module::open(const std::string& library, std::string_view hint)
{
    void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
        return Error{fmt::format("open library {} ({}): {}", library, hint, ::dlerror()), "4.3.0"};
    return Module{handle, library};
}

Result<void*> Module::symbol(const char* name) const
{
    void* const found = ::dlsym(handle_, name);
    if (found == nullptr)
        return Error{fmt::format("library {} has no {}", library_, name), "4.3.0"};
    return found;
}

}  // namespace posthorn
