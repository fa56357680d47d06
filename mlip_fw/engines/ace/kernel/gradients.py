"""From derivatives by sums over neighbours to forces and virial, compiled."""

from __future__ import annotations

from typing import Any

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import STEP, Memory
from mlip_fw.engines.ace.kernel.stages import fill_harmonics
from mlip_fw.engines.ace.kernel.vector import WIDTH, load, muladd, read, read_int, spread, store, total, write
from mlip_fw.engines.ace.pairs import Pairs


@compiled
def fill_gradient(place: int, space: Space, element: Element, s: Memory) -> None:
    """Fill the derivatives of an atom's energy by the positions of its neighbours at a place."""
    capacity, d, g, slopes = s.capacity, s.directions, s.gradient, s.slopes
    at, at_d, w, y, n_k = place * space.width * capacity, 5 * place * capacity, s.sums, s.harmonics, space.n_k
    for k in range(0, n_k * STEP, WIDTH):
        store(s.weighted, k, spread(0.0))
    for p in range(0, read_int(s.counts, place), STEP):
        fill_harmonics(place, p, p + STEP, STEP, space, s)
        pair = at + space.pair * capacity + p
        out0, out1 = load(slopes, pair), load(slopes, pair + WIDTH)
        for t in range(0, 4 * element.n_groups, 4):
            k_low, k_high = read_int(element.groups, t), read_int(element.groups, t + 1)
            used, channels = read_int(element.groups, t + 2), read_int(element.groups, t + 3) * space.n_n
            # along radii: R'(n) Σ_k w(n, k) Y(k)
            for m0 in range(0, used, 3):
                m1, m2 = min(m0 + 1, used - 1), min(m0 + 2, used - 1)
                a00, a01, a10 = spread(0.0), spread(0.0), spread(0.0)
                a11, a20, a21 = spread(0.0), spread(0.0), spread(0.0)
                for k in range(k_low, k_high):
                    y0, y1 = load(y, k * STEP), load(y, k * STEP + WIDTH)
                    v = spread(read(w, m0 * n_k + k))
                    a00, a01 = muladd(v, y0, a00), muladd(v, y1, a01)
                    v = spread(read(w, m1 * n_k + k))
                    a10, a11 = muladd(v, y0, a10), muladd(v, y1, a11)
                    v = spread(read(w, m2 * n_k + k))
                    a20, a21 = muladd(v, y0, a20), muladd(v, y1, a21)
                row = at + read_int(space.channels, channels + m0) * capacity + p
                out0, out1 = muladd(load(slopes, row), a00, out0), muladd(load(slopes, row + WIDTH), a01, out1)
                if m0 + 1 < used:
                    row = at + read_int(space.channels, channels + m1) * capacity + p
                    out0, out1 = muladd(load(slopes, row), a10, out0), muladd(load(slopes, row + WIDTH), a11, out1)
                if m0 + 2 < used:
                    row = at + read_int(space.channels, channels + m2) * capacity + p
                    out0, out1 = muladd(load(slopes, row), a20, out0), muladd(load(slopes, row + WIDTH), a21, out1)
            # across: Σ_n w(n, k) R(n) for each harmonic
            for k0 in range(k_low, k_high, 2):
                k1 = min(k0 + 1, k_high - 1)
                a00, a01, a10, a11 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
                for m in range(used):
                    row = at + read_int(space.channels, channels + m) * capacity + p
                    r0, r1 = load(s.values, row), load(s.values, row + WIDTH)
                    v = spread(read(w, m * n_k + k0))
                    a00, a01 = muladd(v, r0, a00), muladd(v, r1, a01)
                    v = spread(read(w, m * n_k + k1))
                    a10, a11 = muladd(v, r0, a10), muladd(v, r1, a11)
                store(s.weighted, k0 * STEP, a00)
                store(s.weighted, k0 * STEP + WIDTH, a01)
                store(s.weighted, k1 * STEP, a10)
                store(s.weighted, k1 * STEP + WIDTH, a11)
        for h in range(0, STEP, WIDTH):
            gx, gy, gz = angular_gradient(place, p + h, h, space, s)
            k = at_d + p + h
            ux, uy, uz = load(d, k), load(d, k + capacity), load(d, k + 2 * capacity)
            inverse = load(d, k + 4 * capacity)
            # the polynomial in the unit vector also changes along it, where the harmonic does not
            along = inverse * (ux * gx + uy * gy + uz * gz)
            along = out0 - along if h == 0 else out1 - along
            store(g, p + h, muladd(along, ux, inverse * gx))
            store(g, p + h + capacity, muladd(along, uy, inverse * gy))
            store(g, p + h + 2 * capacity, muladd(along, uz, inverse * gz))


@compiled
def angular_gradient(place: int, p: int, h: int, space: Space, s: Memory) -> Any:
    """Return the derivatives by x, y and z of Σ_k weighted(k) Y(k) as a polynomial in the unit vector."""
    lmax, capacity, q, circle, v = space.lmax, s.capacity, s.legendre, s.circle, s.weighted
    at_q, at_c = place * space.n_q * capacity + p, place * 2 * (lmax + 1) * capacity + p
    gx, gy, gz = spread(0.0), spread(0.0), spread(0.0)
    for ell in range(1, lmax + 1):
        slope = spread(read(space.ratios, ell * (lmax + 1))) * load(q, at_q + (ell * (ell + 1) // 2 + 1) * capacity)
        gz = muladd(slope, load(v, ell * ell * STEP + h), gz)
    for m in range(1, lmax + 1):
        zr, zi, pr, pi = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        for ell in range(m, lmax + 1):
            row, k = at_q + (ell * (ell + 1) // 2 + m) * capacity, (ell * ell + 2 * m - 1) * STEP + h
            vr, vi, part = load(v, k), load(v, k + STEP), load(q, row)
            pr, pi = muladd(part, vr, pr), muladd(part, vi, pi)
            if m < ell:
                slope = spread(read(space.ratios, ell * (lmax + 1) + m)) * load(q, row + capacity)
                zr, zi = muladd(slope, vr, zr), muladd(slope, vi, zi)
        row, factor = at_c + (2 * m - 2) * capacity, spread(float(m))
        lower, lower_i = load(circle, row), load(circle, row + capacity)
        gx = muladd(factor, pr * lower + pi * lower_i, gx)
        gy = muladd(factor, pi * lower - pr * lower_i, gy)
        gz = muladd(zr, load(circle, row + 2 * capacity), muladd(zi, load(circle, row + 3 * capacity), gz))
    return gx, gy, gz


@compiled
def hand_out(i: int, place: int, pairs: Pairs, forces: int, stride: int, step: int, virial: int, s: Memory) -> None:
    """Add what the gradient gives to the forces of an atom and its neighbours, and to the virial.

    The force on atom j along c is number ``stride`` · j + ``step`` · c behind ``forces``.
    """
    n, capacity, d, g = read_int(s.counts, place), s.capacity, s.directions, s.gradient
    at, zero = 5 * place * capacity, spread(0.0)
    fx, fy, fz, xx, yy, zz, xy, xz, yz = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for p in range(0, n, WIDTH):
        gx, gy, gz = load(g, p), load(g, capacity + p), load(g, 2 * capacity + p)
        r, k = load(d, at + 3 * capacity + p), at + p
        rx, ry, rz = r * load(d, k), r * load(d, k + capacity), r * load(d, k + 2 * capacity)
        fx, fy, fz = fx + gx, fy + gy, fz + gz
        xx, yy, zz = muladd(rx, gx, xx), muladd(ry, gy, yy), muladd(rz, gz, zz)
        xy, xz, yz = muladd(rx, gy, xy), muladd(rx, gz, xz), muladd(ry, gz, yz)
    add(forces, stride * i, total(fx))
    add(forces, stride * i + step, total(fy))
    add(forces, stride * i + 2 * step, total(fz))
    add(virial, 0, -total(xx))
    add(virial, 1, -total(yy))
    add(virial, 2, -total(zz))
    add(virial, 3, -total(xy))
    add(virial, 4, -total(xz))
    add(virial, 5, -total(yz))
    for p in range(n):
        j = stride * read_int(pairs.owner, read_int(s.neighbour, place * capacity + p))
        add(forces, j, -read(g, p))
        add(forces, j + step, -read(g, capacity + p))
        add(forces, j + 2 * step, -read(g, 2 * capacity + p))


@compiled
def add(address: int, index: int, number: float) -> None:
    """Add to one number."""
    write(address, index, read(address, index) + number)
