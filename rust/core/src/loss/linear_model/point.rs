//! The same losses at points, in double precision and with derivatives up to the third.

use super::{LinearModel, Link};
use crate::error::Result;
use crate::loss::PointLoss;
use crate::loss::point::check;

impl<L: Link> LinearModel<L> {
    /// Inputs, outputs and parameters.
    fn shape(&self) -> (usize, usize, usize) {
        let (p, outputs) = (self.x.cols(), self.link.outputs());
        (p, outputs, p * outputs)
    }

    /// Calls `f` with each example's inputs, predictors and target.
    fn each(&self, theta: &[f64], mut f: impl FnMut(&[f64], &mut [f64], f64)) {
        let outputs = self.link.outputs();
        let mut z = vec![0.0; outputs];
        for (i, y) in self.y.iter().enumerate() {
            let row = self.x.row(i);
            for (k, z) in z.iter_mut().enumerate() {
                *z = row.iter().enumerate().fold(0.0, |sum, (a, x)| x.mul_add(theta[a * outputs + k], sum));
            }
            f(row, &mut z, *y);
        }
    }

    /// The factor of a mean.
    fn share(&self) -> f64 {
        1.0 / self.x.rows() as f64
    }
}

impl<L: Link> PointLoss for LinearModel<L> {
    fn dim(&self) -> usize {
        self.shape().2
    }

    fn value(&self, x: &[f64]) -> Result<f64> {
        check("x", x, self.shape().2)?;
        let mut sum = 0.0;
        self.each(x, |_, z, y| sum += self.link.loss(y, z));
        Ok(x.iter().fold(sum * self.share(), |sum, x| (x * x).mul_add(0.5 * self.l2, sum)))
    }

    fn grad(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let (_, outputs, d) = self.shape();
        check("x", x, d)?;
        check("out", out, d)?;
        out.fill(0.0);
        self.each(x, |row, z, y| {
            self.link.residual(y, z);
            for (r, out) in out.iter_mut().enumerate() {
                *out = row[r / outputs].mul_add(z[r % outputs], *out);
            }
        });
        out.iter_mut().zip(x).for_each(|(out, x)| *out = self.l2.mul_add(*x, *out * self.share()));
        Ok(())
    }

    fn hessian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let (p, outputs, d) = self.shape();
        check("x", x, d)?;
        check("out", out, d * d)?;
        out.fill(0.0);
        let (mut u, mut at) = (vec![0.0; outputs], vec![0.0; outputs]);
        self.each(x, |row, z, y| {
            for l in 0..outputs {
                at.copy_from_slice(z);
                u.fill(0.0);
                u[l] = 1.0;
                self.link.curvature(y, &mut at[..], &mut u[..]);
                // the lower triangle; the matrix of the link is symmetric but for rounding
                for (k, c) in u.iter().enumerate().skip(l) {
                    for a in 0..p {
                        for b in 0..p {
                            out[(a * outputs + k) * d + b * outputs + l] += row[a] * row[b] * c;
                        }
                    }
                }
            }
        });
        for k in 0..outputs {
            for (a, l) in (0..p).flat_map(|a| (0..k).map(move |l| (a, l))) {
                for b in 0..p {
                    out[(b * outputs + l) * d + a * outputs + k] = out[(a * outputs + k) * d + b * outputs + l];
                }
            }
        }
        out.iter_mut().for_each(|out| *out *= self.share());
        out.iter_mut().step_by(d + 1).for_each(|out| *out += self.l2);
        Ok(())
    }

    fn third(&self, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()> {
        let (p, outputs, d) = self.shape();
        check("x", x, d)?;
        check("s", s, d * d)?;
        check("out", out, d)?;
        out.fill(0.0);
        let (mut of_links, mut slope) = (vec![0.0; outputs * outputs], vec![0.0; outputs]);
        self.each(x, |row, z, _| {
            // xᵀ S^(kl) x, made symmetric in k and l
            of_links.fill(0.0);
            for (a, b) in (0..p).flat_map(|a| (0..p).map(move |b| (a, b))) {
                let product = 0.5 * row[a] * row[b];
                for (k, l) in (0..outputs).flat_map(|k| (0..outputs).map(move |l| (k, l))) {
                    let s = s[(a * outputs + k) * d + b * outputs + l];
                    of_links[k * outputs + l] += product * s;
                    of_links[l * outputs + k] += product * s;
                }
            }
            self.link.third(z, &of_links, &mut slope);
            for (r, out) in out.iter_mut().enumerate() {
                *out = row[r / outputs].mul_add(slope[r % outputs], *out);
            }
        });
        out.iter_mut().for_each(|out| *out *= self.share());
        Ok(())
    }
}
