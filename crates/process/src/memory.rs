//! What the allocator of the C library does with memory that is free again.

/// Has large pieces of memory go back to the system as soon as they are free. glibc learns from the first one that is
/// freed that there will be more of its size, and keeps them: what a check of a long pipe took once, the whole run would
/// hold. Elsewhere there is nothing to be done.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "no safe interface tells the allocator anything")
)]
pub fn give_back_large_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Above the buffers that are made again and again.
        const LARGE: libc::c_int = 256 * 1024;
        // SAFETY: this sets a number of the allocator, which is there from the start. That it is set ends the learning.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
