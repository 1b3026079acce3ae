"""What runs between the provisioner and the kernel, in the kernel's own process: confine, probe, execute.

`python -I -S PATH/confine/__main__.py SPEC_FD REPORT_FD -- ARGV…`. Standard library only and no other import of this
package: it must start in milliseconds and without anybody's site-packages. When it ends, it has become the kernel.
"""
